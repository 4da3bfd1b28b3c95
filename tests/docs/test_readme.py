"""The README is short, and its first two commands set everything up."""

from __future__ import annotations

import re

from tests.docs.blocks import ROOT, blocks

README = (ROOT / "README.md").read_text(encoding="utf-8")

MOST_WORDS = 900


def test_the_readme_has_at_most_900_words() -> None:
    assert len(README.split()) <= MOST_WORDS


def test_the_first_two_commands_set_everything_up() -> None:
    first, second = [block.text.strip() for block in blocks(ROOT / "README.md") if block.language == "sh"][:2]
    assert first == "pip install -c constraints.txt -e . && tuner run sweeps/digits.yaml"
    assert second == 'pip install -c constraints.txt -e ".[test]" && pytest'


def test_the_checks_before_a_merge_run_these_two_commands() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert 'pip install --quiet -c constraints.txt -e ".[test]"\npytest' in script
    assert "tuner run sweeps/digits.yaml" in script


def test_links_point_to_existing_files() -> None:
    targets = re.findall(r"\]\(([^)#]+)", README)
    missing = [each for each in targets if "://" not in each and not (ROOT / each).exists()]
    assert missing == []
