"""The code blocks of a Markdown page, and the marks that tell a test how to run each one."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"

_FENCE = re.compile(
    r"^(?P<indent> *)```(?P<info>[^\n`]*)\n(?P<text>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL
)
_MARKS = re.compile(r"((?:^ *<!--(?:(?!-->).)*-->\s*)+)\Z", re.MULTILINE | re.DOTALL)
_MARK = re.compile(r"<!--\s*(?P<name>[a-z ]+):\s*(?P<value>.*?)\s*-->", re.DOTALL)

MARKS = {"not run", "run with", "first", "exit code", "part of", "wrong", "needs"}
"""The marks that a comment before a block may set.

- ``not run: REASON``: no test runs the block.
- ``run with: ARGUMENTS``: added to each ``tuner run``, ``plan`` and ``evaluate``, to make it short.
- ``first: COMMANDS``: commands that run before the block, one per line.
- ``exit code: N``: the expected exit code of the last command.
- ``part of: FILE``: the YAML replaces its keys in this sweep file of the page.
- ``needs: MODULES``: the block runs only where these are installed. They are not part of the tests' packages.
- ``wrong: REASON``: the sweep file is not valid, and a later block shows why.
"""


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, the file that it shows, and its marks."""

    page: str
    line: int
    language: str
    title: str | None
    text: str
    marks: dict[str, str]

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(path: Path) -> list[Block]:
    """Return the fenced blocks of a page, in order."""
    text = path.read_text(encoding="utf-8")
    return [_block(path, text, found) for found in _FENCE.finditer(text)]


def _block(path: Path, text: str, found: re.Match[str]) -> Block:
    language, _, rest = found["info"].strip().partition(" ")
    title = re.search(r'title="([^"]+)"', rest)
    before = _MARKS.search(text[: found.start()])
    marks = {mark["name"]: mark["value"] for mark in _MARK.finditer(before[1] if before else "")}
    line = text.count("\n", 0, found.start()) + 1
    page = str(path.relative_to(ROOT))
    assert marks.keys() <= MARKS, f"{page}:{line}: unknown marks {marks.keys() - MARKS}"
    return Block(page, line, language, title and title[1], textwrap.dedent(found["text"]), marks)


def written_pages() -> list[Path]:
    """Return every handwritten page."""
    return [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *sorted(DOCS.glob("*.md")),
        *sorted(DOCS.glob("reference/python.md")),
    ]
