"""Whose code a results folder names: ``resume``, ``evaluate`` and ``export`` run it for its owner only.

A journal holds import paths. One from a stranger could name any code, so each sweep is signed as it begins,
with a key that only its user can read. The signature stays valid when the folder is moved or copied.
"""

from __future__ import annotations

import contextlib
import hmac
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tuner.errors import UntrustedError
from tuner.journal import read
from tuner.journal.events import SweepBegan

# The parts of a sweep that can name code.
_PARTS = ("trainable", "space", "searcher", "scheduler", "loggers")

_SHOWN = 5


def key_path() -> Path:
    """Where this user's key is: ``tuner/key`` in ``$XDG_STATE_HOME`` or ``~/.local/state``."""
    state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(state).expanduser() / "tuner" / "key"


def signature(sweep: Mapping[str, Any], sweep_id: str, folder: Any) -> str | None:
    """This user's signature of a sweep, as its journal keeps it; ``None`` where no key can be kept.

    ``folder``: where it was started, and so where its code is looked for.
    """
    key = _key()
    if key is None:
        return None
    content = json.dumps([sweep, sweep_id, folder], sort_keys=True).encode()
    return hmac.new(key, content, "sha256").hexdigest()


def is_own(folder: str | Path) -> bool:
    """Whether this user began the sweep in ``folder``. Raises ResultsError when it holds none."""
    first = next(iter(read(Path(folder))), None)
    if first is None:
        return True  # it names nothing
    if not isinstance(first, SweepBegan) or first.signature is None or first.id is None:
        return False
    own = signature(first.sweep, first.id, first.folder)
    return own is not None and hmac.compare_digest(own.encode(), first.signature.encode())


def require(folder: str | Path, verb: str, *, sweep: Mapping[str, Any], trust: bool) -> None:
    """Raise UntrustedError if code that the sweep names would run, and nobody vouches for it.

    This user does who began the sweep, or who says so by ``trust``. ``verb``: what is about to be done.
    ``sweep``: as its journal has it. A sweep without any import path or file runs installed code only.
    """
    named = list(dict.fromkeys(_names_of_code([sweep.get(part) for part in _PARTS])))
    if trust or not named or is_own(folder):
        return
    shown = ", ".join(named[:_SHOWN]) + (", ..." if len(named) > _SHOWN else "")
    what = f"{verb} would import and run {shown}, and another user or machine began this sweep"
    raise UntrustedError(f"{folder}: {what}; if you trust it, add --trust (in Python trust=True)")


def _names_of_code(value: Any) -> Iterator[str]:
    """The texts that may be an import path or a file; those that surely are come first."""
    texts = [text for text in _texts(value) if ":" in text or "." in text]
    yield from sorted((text if text.isprintable() else ascii(text) for text in texts), key=_is_plain)


def _is_plain(text: str) -> bool:
    return ":" not in text


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, tuple, dict)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts(item)


def _key() -> bytes | None:
    """This user's key, made when there is none; ``None`` where it cannot be read or written."""
    path = key_path()
    try:
        if not path.exists():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            unfinished = path.with_name(f".key.{os.getpid()}.{secrets.token_hex(4)}")
            descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(secrets.token_hex(32))
            with contextlib.suppress(FileExistsError):  # another process was faster; its key is as good
                os.link(unfinished, path)
            unfinished.unlink()
        key = path.read_bytes()
    except OSError:
        return None
    return key if len(key) >= 32 else None
