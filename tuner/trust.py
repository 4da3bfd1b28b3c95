"""Sign sweeps, so that ``resume``, ``evaluate`` and ``export`` run the code of the user's own sweeps only.

A journal holds import paths, and a stranger's journal could name any code. Each sweep is therefore signed at
its start, with a key that only its user can read. The signature stays valid when the folder is moved.
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

_PARTS = ("trainable", "space", "searcher", "scheduler", "loggers")
"""The parts of a sweep that can name code."""

_MAX_SHOWN = 5
"""Maximum number of import paths in a message."""


def key_path() -> Path:
    """Return the path of this user's key: ``tuner/key`` in ``$XDG_STATE_HOME`` or ``~/.local/state``."""
    state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(state).expanduser() / "tuner" / "key"


def signature(sweep: Mapping[str, Any], sweep_id: str, folder: Any) -> str | None:
    """Return this user's signature of a sweep, or ``None`` if no key can be read or written.

    - ``sweep``: the resolved sweep, as its journal stores it.
    - ``folder``: the folder in which the sweep was started. Its code is imported from there.
    """
    key = _key()
    if key is None:
        return None
    content = json.dumps([sweep, sweep_id, folder], sort_keys=True).encode()
    return hmac.new(key, content, "sha256").hexdigest()


def is_own(folder: str | Path) -> bool:
    """Return whether this user began the sweep in ``folder``. Raises ResultsError when it holds no sweep."""
    first = next(iter(read(Path(folder))), None)
    if first is None:
        return True  # an empty journal names no code
    if not isinstance(first, SweepBegan) or first.signature is None or first.id is None:
        return False
    expected = signature(first.sweep, first.id, first.folder)
    return expected is not None and hmac.compare_digest(expected.encode(), first.signature.encode())


def require(folder: str | Path, verb: str, *, sweep: Mapping[str, Any], trust: bool) -> None:
    """Raise UntrustedError if untrusted code would run.

    The code is trusted if this user began the sweep, or if ``trust`` is true. A sweep without import paths
    and files needs no trust, since it runs installed code only.

    - ``verb``: the operation, for the message.
    - ``sweep``: the sweep, as its journal stores it.
    """
    named = list(dict.fromkeys(_names_of_code([sweep.get(part) for part in _PARTS])))
    if trust or not named or is_own(folder):
        return
    shown = ", ".join(named[:_MAX_SHOWN]) + (", ..." if len(named) > _MAX_SHOWN else "")
    what = f"{verb} would import and run {shown}, but another user or machine began this sweep"
    raise UntrustedError(f"{folder}: {what}; if you trust it, add --trust (in Python trust=True)")


def _names_of_code(value: Any) -> Iterator[str]:
    """Yield the texts that may be import paths or files.

    Texts with a colon come first, because they almost certainly name code.
    """
    texts = [text for text in _texts(value) if ":" in text or "." in text]
    yield from sorted((text if text.isprintable() else ascii(text) for text in texts), key=_has_no_colon)


def _has_no_colon(text: str) -> bool:
    return ":" not in text


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, tuple, dict)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts(item)


def _key() -> bytes | None:
    """Return this user's key, created at the first call; ``None`` if it cannot be read or written."""
    path = key_path()
    try:
        if not path.exists():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            unfinished = path.with_name(f".key.{os.getpid()}.{secrets.token_hex(4)}")
            descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(secrets.token_hex(32))
            with contextlib.suppress(FileExistsError):  # another process was faster; use its key
                os.link(unfinished, path)
            unfinished.unlink()
        key = path.read_bytes()
    except OSError:
        return None
    return key if len(key) >= 32 else None
