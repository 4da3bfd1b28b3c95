"""The page of error messages quotes existing messages."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.docs.blocks import DOCS, ROOT

QUOTED = re.findall(r"^\| `([^`]+)`", (DOCS / "troubleshooting.md").read_text(encoding="utf-8"), re.MULTILINE)


def literals(path: Path) -> list[str]:
    """Return the texts in a file, with ``…`` for each part that varies."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.JoinedStr):
            parts = (part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
            found.append("".join(map(str, parts)))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.append(node.value)
    return found


TEXTS = [text for path in sorted((ROOT / "tuner").rglob("*.py")) for text in literals(path)]


@pytest.mark.parametrize("message", QUOTED)
def test_a_message_on_the_page_exists_in_the_code(message: str) -> None:
    missing = [
        part.strip()
        for part in message.split("…")
        if len(part.strip()) > 3 and not any(part.strip() in text for text in TEXTS)
    ]
    assert missing == []
