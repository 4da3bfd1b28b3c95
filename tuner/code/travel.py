"""``CodeArchive``: carries the user's code and files to nodes that do not have them.

It packs the files of a folder that git does not ignore. A node that has the same files at the same path uses
those. Any other node unpacks the archive once.
"""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import tempfile
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from tuner.errors import ClusterError

_MAX_BYTES = 100 * 2**20

_SKIPPED = frozenset(
    {"__pycache__", "node_modules", ".git", ".hg", ".venv", "venv", ".mypy_cache", ".ruff_cache"}
)


class CodeArchive:
    """The packed files of one or more folders."""

    def __init__(self, roots: Iterable[Path]) -> None:
        resolved = sorted({root.resolve() for root in roots})
        self.roots = [
            r for r in resolved if not any(r != other and r.is_relative_to(other) for other in resolved)
        ]
        self.too_large: str | None = None
        files = [(number, path) for number, root in enumerate(self.roots) for path in _files(root)]
        sizes = {path: path.stat().st_size for _, path in files}
        if sum(sizes.values()) > _MAX_BYTES:
            largest = max(sizes, key=lambda path: sizes[path])
            limit = f"we send at most {_MAX_BYTES // 2**20} MiB of files to other nodes"
            size = f"{largest} has {sizes[largest] // 2**20} MiB"
            self.too_large = f"{limit}, and {size}; add it to .gitignore"
            files = []
        packed = io.BytesIO()
        digest = hashlib.sha256()
        self._hashes: dict[Path, str] = {}
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            for number, path in files:
                content = path.read_bytes()
                self._hashes[path] = hashlib.sha256(content).hexdigest()
                name = f"{number}/{path.relative_to(self.roots[number])}"
                digest.update(f"{name}\0{self._hashes[path]}\0".encode())
                archive.writestr(name, content)
        self._packed = packed.getvalue()
        self._name = digest.hexdigest()[:24]

    def unpack(self) -> dict[Path, Path]:
        """Return the path of each folder on this node, and unpack the archive if needed.

        Raises ClusterError if the folders are missing here and too large to send.
        """
        if self._is_here():
            return {root: root for root in self.roots}
        if self.too_large is not None:
            missing = f"{', '.join(map(str, self.roots))}: not found on node {os.uname().nodename}"
            raise ClusterError(f"{missing}; {self.too_large}, or let all nodes share the folder")
        target = Path(tempfile.gettempdir(), f"tuner-{os.getuid()}", self._name)
        if not target.is_dir():
            target.parent.mkdir(mode=0o700, exist_ok=True)
            if target.parent.stat().st_uid != os.getuid():
                raise ClusterError(f"{target.parent}: belongs to another user on {os.uname().nodename}")
            unfinished = Path(tempfile.mkdtemp(dir=target.parent))
            with zipfile.ZipFile(io.BytesIO(self._packed)) as archive:
                archive.extractall(unfinished)
            for number in range(len(self.roots)):
                (unfinished / str(number)).mkdir(exist_ok=True)
            try:
                unfinished.rename(target)
            except OSError:  # another process renamed its copy first
                if not target.is_dir():
                    raise
        return {root: target / str(number) for number, root in enumerate(self.roots)}

    def _is_here(self) -> bool:
        if not all(root.is_dir() for root in self.roots):
            return False
        if self.too_large is not None:
            return True
        return all(_hash(path) == known for path, known in self._hashes.items())


def moved(path: str, places: dict[Path, Path]) -> str:
    """Convert a path on the driver's node to the path on this node."""
    for root, here in places.items():
        if Path(path).is_relative_to(root):
            return str(here / Path(path).relative_to(root))
    return path


def _hash(path: Path) -> str | None:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None


def _files(root: Path) -> Sequence[Path]:
    """Return the files below a folder, without those that git ignores.

    Without git, hidden folders and virtual environments are left out.
    """
    listed = _list_by_git(root)
    paths = [root / name for name in listed] if listed is not None else sorted(_walk(root))
    return [path for path in paths if path.is_file() and not path.is_symlink()]


def _list_by_git(root: Path) -> list[str] | None:
    """Return the files that git would add from a folder, which need not be a repository.

    ``None`` if git is not installed.
    """
    with tempfile.TemporaryDirectory() as empty:
        command = ["git", f"--git-dir={empty}", f"--work-tree={root}"]
        try:
            subprocess.run(["git", "init", "--quiet", "--bare", empty], check=True, capture_output=True)
            listing = [*command, "ls-files", "--others", "--exclude-standard", "-z"]
            done = subprocess.run(listing, check=True, capture_output=True, text=True, cwd=root)
        except (OSError, subprocess.CalledProcessError):
            return None
    names = [name for name in done.stdout.split("\0") if name]
    return [name for name in names if not _SKIPPED & set(Path(name).parts)]


def _walk(root: Path) -> Iterable[Path]:
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if name not in _SKIPPED and not name.startswith(".")]
        if "pyvenv.cfg" in files:
            folders.clear()
        else:
            yield from (Path(folder, name) for name in files)
