"""The user's code: modules by name and files by path, each imported under one name in every process."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib
import importlib.util
import os
import sys
from collections.abc import Iterable
from importlib.machinery import PathFinder
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from tuner.errors import Problem, SpecError, said


class LoadedFile(NamedTuple):
    """A file that was imported by its path. ``source``: its text at that time, which is what trials run."""

    path: Path
    source: bytes


LOADED_FILES: dict[str, LoadedFile] = {}
"""By the name of its module, each file that was imported by its path."""

_LOADED: dict[tuple[Path, bytes], Any] = {}

_NEEDED = frozenset(
    {"tuner", "trainables", "ray", "torch", "numpy", "scipy", "sklearn", "pandas", "pyarrow", "optuna"}
    | {"cmaes", "hyperopt", "pydantic", "ruamel", "rich", "safetensors", "threadpoolctl", "cloudpickle"}
    | {"joblib", "lazy_loader", "packaging", "yaml", "msgpack", "requests", "filelock", "click"}
)
"""Libraries that are imported while a sweep runs. A module of the user's must not hide them."""

# Modules of Python's own that none of those libraries imports. Any other of Python's modules is needed.
_UNUSED = """
aifc antigravity asynchat asyncore audioop cgi cgitb chunk compileall crypt curses dbm distutils
doctest ensurepip filecmp ftplib getopt graphlib idlelib imaplib imghdr imp lib2to3 mailbox mailcap
modulefinder msilib netrc nis nntplib nturl2path optparse ossaudiodev pipes plistlib poplib pty
py_compile pyclbr pydoc_data readline rlcompleter sched shelve smtpd smtplib sndhdr spwd sunau
symtable syslog tabnanny telnetlib this tkinter tomllib trace tty turtle turtledemo uu venv wave
webbrowser wsgiref xdrlib xmlrpc zipapp
"""


def load_module(name: str) -> Any:
    """Import a module by name, from the current directory too. Raises SpecError when that is not possible."""
    if os.getcwd() not in sys.path:
        refuse_hiding(Path.cwd())
        sys.path.insert(0, os.getcwd())
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            what = f"there is no module '{name}'{_hidden_folder(name, Path.cwd())}"
            raise SpecError([Problem("", what)]) from None
        raise SpecError([Problem("", _cannot_import(name, error, Path.cwd()))]) from error
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # also SystemExit, or one of the user's own
        raise SpecError([Problem("", _cannot_import(name, error, Path.cwd()))]) from error


def load_file(path: Path, *, name: str | None = None, source: bytes | None = None) -> Any:
    """Import a file as the module ``name`` (``None``: its stem, if no other module has it).

    Its neighbours can be imported by it, as when Python runs the file. ``source``: run this text in place of
    the file's, which may have been edited since. Raises SpecError when there is no such file, when it cannot
    be imported, and when it or a neighbour hides a library that is needed.
    """
    if not path.is_file():
        raise SpecError([Problem("", f"there is no file '{path}' (looked in {Path.cwd()})")])
    given, path = path, path.resolve()
    source = path.read_bytes() if source is None else source
    if (path, source) in _LOADED:  # running a file twice would do twice what it does
        module = _LOADED[path, source]
        sys.modules[module.__name__], LOADED_FILES[module.__name__] = module, LoadedFile(path, source)
        return module
    refuse_hiding(path.parent, standard=True)
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    importlib.invalidate_caches()  # the file may be new
    name = name or _module_name(path)
    if not is_found(name, path, sys.path):
        _make_findable(name, path)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    before = sys.modules.get(name)
    sys.modules[name] = module
    try:
        exec(compile(source, str(path), "exec", dont_inherit=True), module.__dict__)
    except BaseException as error:  # also SystemExit, or one of the user's own
        del sys.modules[name]
        if before is not None:
            sys.modules[name] = before
        if isinstance(error, KeyboardInterrupt):
            raise
        raise SpecError([Problem("", _cannot_import(str(given), error, path.parent))]) from error
    LOADED_FILES[name] = LoadedFile(path, source)
    _LOADED[path, source] = module
    return module


def beside(named: str, folder: Path) -> str:
    """A ``file.py:Name`` of a file in ``folder`` as it is found from the current directory; else as it is."""
    source, _, name = named.rpartition(":")
    return f"{path_beside(source, folder)}:{name}" if source.endswith(".py") else named


def path_beside(path: str, folder: Path) -> str:
    """The path of what is in ``folder``, as it is found from the current directory; else as it is."""
    if not path or Path(path).is_absolute() or not (folder / path).exists():
        return path
    return _near((folder / path).resolve())


def _near(path: Path) -> str:
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def import_path(named: Any) -> str:
    """``module:Name`` of a class or function, or ``file.py:Name`` if it is from a file that was loaded so."""
    source = named.__module__
    if source in LOADED_FILES:
        source = _near(LOADED_FILES[source].path)
    return f"{source}:{getattr(named, '__qualname__', type(named).__name__)}"


def within(folder: Any) -> contextlib.AbstractContextManager[None]:
    """A context in which relative paths mean what they mean in a folder, if it is there.

    ``folder``: as a journal names it, which may be anything.
    """
    there = isinstance(folder, str) and "\0" not in folder and os.path.isdir(folder)
    return contextlib.chdir(folder) if there else contextlib.nullcontext()


def is_found(name: str, path: Path, places: Iterable[str]) -> bool:
    """Whether a process that looks for modules in these places imports this file by this name."""
    if "." in name:
        return False
    spec = PathFinder.find_spec(name, list(places))
    return spec is not None and spec.origin is not None and Path(spec.origin).resolve() == path


def refuse_hiding(folder: Path, *, standard: bool = False) -> None:
    """Raise SpecError if importing from a folder first would hide a library that is needed.

    ``standard``: modules of Python's own, too.
    """
    names = _NEEDED | (sys.stdlib_module_names - {*_UNUSED.split()} if standard else frozenset())
    try:
        there = {entry.removesuffix(".py") for entry in os.listdir(folder)}
    except OSError:  # nothing is imported from a folder that cannot be read
        return
    for name in sorted(names & there):
        hiding = _hiding(folder, name)
        if hiding is not None and not _is_itself(name, folder):
            kind = "folder" if hiding.is_dir() else "file"
            library = "Python's own module" if name in sys.stdlib_module_names else "the library"
            what = f"the {kind} '{hiding}' hides {library} '{name}', which is needed here; rename the {kind}"
            raise SpecError([Problem("", what)])


def _hiding(folder: Path, name: str) -> Path | None:
    """What Python would import from a folder by this name: not a folder without ``__init__.py``."""
    if (folder / name / "__init__.py").is_file():
        return folder / name
    return folder / f"{name}.py" if (folder / f"{name}.py").is_file() else None


def _is_itself(name: str, folder: Path) -> bool:
    """Whether a module in a folder is that very library, in a clone of it."""
    elsewhere = [place for place in sys.path if Path(place or ".").resolve() != folder.resolve()]
    loaded = getattr(sys.modules.get(name), "__file__", None)
    spec = PathFinder.find_spec(name, elsewhere) if loaded is None else None
    origin = loaded or (spec.origin if spec is not None else None)
    # One that is only there is an editable installation, or a library that is not installed.
    return origin is None or Path(origin).resolve().is_relative_to(folder.resolve() / name)


def _module_name(path: Path) -> str:
    """The file's stem; with the path hashed where that is another module, or cannot be imported by name."""
    taken = sys.modules.get(path.stem)
    places = [str(path.parent), *sys.path]
    if is_found(path.stem, path, places) and getattr(taken, "__file__", str(path)) == str(path):
        return path.stem
    return f"{path.stem.replace('.', '_')}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"


_SHIM = """import importlib.util, sys
spec = importlib.util.spec_from_file_location(__name__, {path!r})
module = sys.modules[__name__] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
"""


@functools.cache
def _shims() -> TemporaryDirectory[str]:
    folder = TemporaryDirectory(prefix="tuner-modules-")
    sys.path.append(folder.name)
    return folder


def _make_findable(name: str, path: Path) -> None:
    """Let processes that are started from here, and get its ``sys.path``, import a file by another name."""
    Path(_shims().name, f"{name}.py").write_text(_SHIM.format(path=str(path)), encoding="utf-8")
    importlib.invalidate_caches()


def _cannot_import(name: str, error: BaseException, folder: Path) -> str:
    hint = _hidden_folder(error.name or "", folder) if isinstance(error, ModuleNotFoundError) else ""
    return f"'{name}' cannot be imported: {said(error)}{hint}"


def _hidden_folder(name: str, folder: Path) -> str:
    """What to do if a module is not found because a library has the name of the user's folder."""
    top, dot, _ = name.partition(".")
    own = [place / top for place in (folder, *folder.parents) if (place / top).is_dir()]
    if not dot or top not in _NEEDED or not own:
        return ""
    return f"; the library '{top}' hides the folder '{own[0]}': rename it, or write file.py:Name"
