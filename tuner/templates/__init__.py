"""First sweeps for ``tuner init``: a sweep file for each kind of trainable, some with a Python file.

Each folder in this one is a kind. The first line of its ``sweep.yaml`` describes it.
"""

from __future__ import annotations

from pathlib import Path

from tuner.errors import Problem, SpecError
from tuner.spec import did_you_mean

SWEEP = "sweep.yaml"
"""The file that each kind has."""

_FOLDER = Path(__file__).parent


def kinds() -> dict[str, str]:
    """Return the kinds of first sweeps, each with a line about it."""
    return {path.parent.name: _summary(path) for path in sorted(_FOLDER.glob(f"*/{SWEEP}"))}


def write(kind: str, folder: Path) -> list[Path]:
    """Write the files of a kind into a folder and return their paths, the sweep file last.

    Raises SpecError for an unknown kind, and if a file of one of the names exists or cannot be written.
    """
    if kind not in kinds():
        hint = did_you_mean(kind, kinds(), see="tuner init --list")
        raise SpecError([Problem("", f"unknown kind '{kind}'{hint}")])
    sources = sorted(
        (path for path in (_FOLDER / kind).iterdir() if path.suffix in (".yaml", ".py")),
        key=lambda path: path.name == SWEEP,
    )
    taken = [folder / source.name for source in sources if (folder / source.name).exists()]
    if taken:
        what = "exists already; move it, or write into another folder with --out"
        raise SpecError([Problem(str(path), what) for path in taken])
    written = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for source in sources:
            with (folder / source.name).open("x", encoding="utf-8") as file:
                file.write(source.read_text(encoding="utf-8"))
            written.append(folder / source.name)
    except OSError as error:
        raise SpecError([Problem(str(folder), f"cannot be written: {error}")]) from None
    return written


def _summary(path: Path) -> str:
    first, *_ = path.read_text(encoding="utf-8").splitlines()
    return first.removeprefix("# ")
