"""Find out why a folder cannot be written, so that every part reports a full or missing disk alike."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tuner.errors import ResultsError

_LEAST_FREE = 2**20
"""A file system with fewer free bytes counts as full. Libraries report this in many different ways."""

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ESTALE, errno.ENOTCONN)
"""Errors that affect every write to a folder."""

_SHARED = frozenset(
    [
        "nfs",
        "nfs4",
        "cifs",
        "smb3",
        "smbfs",
        "ceph",
        "lustre",
        "gpfs",
        "beegfs",
        "glusterfs",
        "9p",
        "afs",
        "ocfs2",
        "gfs2",
        "pvfs2",
        "orangefs",
        "panfs",
        "wekafs",
        "davfs",
        "ncpfs",
        "virtiofs",
        "fuse",
    ]
)
_LOCAL_FUSE = (
    "fuse.ntfs-3g",
    "fuse.exfat",
    "fuse.encfs",
    "fuse.gocryptfs",
    "fuse.fuse-overlayfs",
    "fuse.lxcfs",
)


def trouble(folder: Path, error: OSError | None = None) -> str | None:
    """Return why a folder cannot be written now, or ``None`` if it can.

    ``error`` is an error that occurred there, which may contain the reason.
    """
    if error is not None and error.errno in _FULL:
        return os.strerror(error.errno)
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".probe-") as file:
            file.write(b"\0" * 4096)
            file.flush()
        free = os.statvfs(folder)
    except OSError as met:
        return met.strerror or str(met)
    if free.f_bavail * free.f_frsize < _LEAST_FREE:
        return os.strerror(errno.ENOSPC)
    return None


def is_shared(folder: Path) -> bool:
    """Return whether Linux reports that the folder's file system can be shared with other hosts."""
    try:
        mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    where, kind = "", ""
    path = str(folder.resolve())
    for line in mounts:
        before, _, after = line.partition(" - ")
        point = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), before.split()[4])
        above = point == "/" or path == point or path.startswith(f"{point}/")
        if above and len(point) >= len(where):  # a later mount covers an earlier one at the same point
            where, kind = point, after.split()[0]
    return kind in _SHARED or (kind.startswith("fuse.") and kind not in _LOCAL_FUSE)


@contextlib.contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Convert an OSError from writing in a folder to a ResultsError. Other errors pass unchanged."""
    try:
        yield
    except OSError as error:
        reason = trouble(folder, error)
        if reason is None and str(folder) not in f"{error.filename} {error}":  # pyarrow puts it in the text
            raise
        raise ResultsError(f"{folder}: cannot be written: {reason or error.strerror}") from error
