"""Import the user's modules by name and files by path, under the same module name in every process."""

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
    """A file that was imported by its path."""

    path: Path
    source: bytes
    """The content at the time of the import. Trials run this content, even if the file changes later."""


LOADED_FILES: dict[str, LoadedFile] = {}
"""The files that were imported by path, by module name."""

_LOADED: dict[tuple[Path, bytes], Any] = {}
"""(path, source) -> module."""

_NEEDED = frozenset(
    {"tuner", "trainables", "ray", "torch", "numpy", "scipy", "sklearn", "pandas", "pyarrow", "optuna"}
    | {"cmaes", "hyperopt", "pydantic", "ruamel", "rich", "safetensors", "threadpoolctl", "cloudpickle"}
    | {"joblib", "lazy_loader", "packaging", "yaml", "msgpack", "requests", "filelock", "click"}
)
"""Libraries that are imported while a sweep runs. A user's module must not hide them."""

# Standard modules that no library above imports. Every other standard module is needed.
_UNUSED = """
aifc antigravity asynchat asyncore audioop cgi cgitb chunk compileall crypt curses dbm distutils
doctest ensurepip filecmp ftplib getopt graphlib idlelib imaplib imghdr imp lib2to3 mailbox mailcap
modulefinder msilib netrc nis nntplib nturl2path optparse ossaudiodev pipes plistlib poplib pty
py_compile pyclbr pydoc_data readline rlcompleter sched shelve smtpd smtplib sndhdr spwd sunau
symtable syslog tabnanny telnetlib this tkinter tomllib trace tty turtle turtledemo uu venv wave
webbrowser wsgiref xdrlib xmlrpc zipapp
"""


def load_module(name: str) -> Any:
    """Import a module by name, also from the current directory. Raises SpecError if the import fails."""
    if os.getcwd() not in sys.path:
        refuse_hiding(Path.cwd())
        sys.path.insert(0, os.getcwd())
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            what = f"there is no module '{name}'{_hidden_folder_hint(name, Path.cwd())}"
            raise SpecError([Problem("", what)]) from None
        raise SpecError([Problem("", _import_problem(name, error, Path.cwd()))]) from error
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # the user's code may raise anything, even SystemExit
        raise SpecError([Problem("", _import_problem(name, error, Path.cwd()))]) from error


def load_file(path: Path, *, name: str | None = None, source: bytes | None = None) -> Any:
    """Import a file as the module ``name``. ``None`` means the file's stem, with a hash if it is taken.

    The file can import its neighbours, as if Python ran it. ``source`` is run instead of the file's current
    content, which may have changed. Raises SpecError if the file is missing or cannot be imported, or if the
    file or a neighbour hides a library that we need.
    """
    if not path.is_file():
        raise SpecError([Problem("", f"there is no file '{path}' (looked in {Path.cwd()})")])
    given, path = path, path.resolve()
    source = path.read_bytes() if source is None else source
    if (path, source) in _LOADED:  # a second run would repeat the file's side effects
        module = _LOADED[path, source]
        sys.modules[module.__name__], LOADED_FILES[module.__name__] = module, LoadedFile(path, source)
        return module
    refuse_hiding(path.parent, standard=True)
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    importlib.invalidate_caches()  # Python may have cached the folder before the file existed
    name = name or _module_name(path)
    if not is_found(name, path, sys.path):
        _make_findable(name, path)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    replaced = sys.modules.get(name)
    sys.modules[name] = module
    try:
        exec(compile(source, str(path), "exec", dont_inherit=True), module.__dict__)
    except BaseException as error:  # the user's code may raise anything, even SystemExit
        del sys.modules[name]
        if replaced is not None:
            sys.modules[name] = replaced
        if isinstance(error, KeyboardInterrupt):
            raise
        raise SpecError([Problem("", _import_problem(str(given), error, path.parent))]) from error
    LOADED_FILES[name] = LoadedFile(path, source)
    _LOADED[path, source] = module
    return module


def beside(named: str, folder: Path) -> str:
    """Rewrite ``file.py:Name`` of a file in ``folder`` so that it is valid from the current directory.

    Any other text is returned unchanged.
    """
    source, _, name = named.rpartition(":")
    return f"{path_beside(source, folder)}:{name}" if source.endswith(".py") else named


def path_beside(path: str, folder: Path) -> str:
    """Rewrite a path relative to ``folder`` so that it is valid from the current directory.

    A path that is absolute or does not exist in ``folder`` is returned unchanged.
    """
    if not path or Path(path).is_absolute() or not (folder / path).exists():
        return path
    return _relative_to_cwd((folder / path).resolve())


def _relative_to_cwd(path: Path) -> str:
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def import_path(named: Any) -> str:
    """Return ``module:Name`` of a class or function, or ``file.py:Name`` if its file was loaded by path."""
    source = named.__module__
    if source in LOADED_FILES:
        source = _relative_to_cwd(LOADED_FILES[source].path)
    return f"{source}:{getattr(named, '__qualname__', type(named).__name__)}"


def within(folder: Any) -> contextlib.AbstractContextManager[None]:
    """Return a context that changes the working directory to ``folder``, if that folder exists.

    ``folder`` comes from a journal, so it may have any type.
    """
    exists = isinstance(folder, str) and "\0" not in folder and os.path.isdir(folder)
    return contextlib.chdir(folder) if exists else contextlib.nullcontext()


def is_found(name: str, path: Path, places: Iterable[str]) -> bool:
    """Return whether ``import name`` imports this file if Python searches these places."""
    if "." in name:
        return False
    spec = PathFinder.find_spec(name, list(places))
    return spec is not None and spec.origin is not None and Path(spec.origin).resolve() == path


def refuse_hiding(folder: Path, *, standard: bool = False) -> None:
    """Raise SpecError if a module in a folder would hide a library that we need.

    ``standard`` also checks modules of the standard library.
    """
    names = _NEEDED | (sys.stdlib_module_names - {*_UNUSED.split()} if standard else frozenset())
    try:
        present = {entry.removesuffix(".py") for entry in os.listdir(folder)}
    except OSError:  # Python imports nothing from a folder that it cannot read
        return
    for name in sorted(names & present):
        hiding = _find_hiding(folder, name)
        if hiding is not None and not _is_itself(name, folder):
            kind = "folder" if hiding.is_dir() else "file"
            library = "Python's standard module" if name in sys.stdlib_module_names else "the library"
            what = f"the {kind} '{hiding}' hides {library} '{name}', which a sweep needs; rename the {kind}"
            raise SpecError([Problem("", what)])


def _find_hiding(folder: Path, name: str) -> Path | None:
    """Return the path that Python imports from a folder by this name; ``None`` if there is none.

    A folder without ``__init__.py`` does not count.
    """
    if (folder / name / "__init__.py").is_file():
        return folder / name
    return folder / f"{name}.py" if (folder / f"{name}.py").is_file() else None


def _is_itself(name: str, folder: Path) -> bool:
    """Return whether a module in a folder is the library itself, as in a clone of its repository."""
    elsewhere = [place for place in sys.path if Path(place or ".").resolve() != folder.resolve()]
    loaded = getattr(sys.modules.get(name), "__file__", None)
    spec = PathFinder.find_spec(name, elsewhere) if loaded is None else None
    origin = loaded or (spec.origin if spec is not None else None)
    # A module found nowhere else is an editable installation, or its library is not installed.
    return origin is None or Path(origin).resolve().is_relative_to(folder.resolve() / name)


def _module_name(path: Path) -> str:
    """Return the file's stem, plus a hash of the path if the stem alone would not import this file."""
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
def _shim_folder() -> TemporaryDirectory[str]:
    """Return this process's folder of shims, the last on ``sys.path``."""
    folder = TemporaryDirectory(prefix="tuner-modules-")
    sys.path.append(folder.name)
    return folder


def _make_findable(name: str, path: Path) -> None:
    """Let child processes, which inherit ``sys.path``, import a file by another name."""
    Path(_shim_folder().name, f"{name}.py").write_text(_SHIM.format(path=str(path)), encoding="utf-8")
    importlib.invalidate_caches()


def _import_problem(name: str, error: BaseException, folder: Path) -> str:
    hint = _hidden_folder_hint(error.name or "", folder) if isinstance(error, ModuleNotFoundError) else ""
    return f"'{name}' cannot be imported: {said(error)}{hint}"


def _hidden_folder_hint(name: str, folder: Path) -> str:
    """Return a remedy if a module is not found because a library has the same name as the user's folder."""
    top, dot, _ = name.partition(".")
    hidden = [place / top for place in (folder, *folder.parents) if (place / top).is_dir()]
    if not dot or top not in _NEEDED or not hidden:
        return ""
    return f"; the library '{top}' hides the folder '{hidden[0]}': rename it, or write file.py:Name"
