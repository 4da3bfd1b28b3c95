"""The results of ``tuner evaluate``, as rows and sentences."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from tuner.errors import ResultsError
from tuner.report.phrases import short

EVALUATION_FILE = "evaluation.json"
"""The file that ``tuner evaluate`` writes into the results folder."""


def read_evaluation(folder: Path) -> dict[str, Any] | None:
    """Return the results of ``tuner evaluate``, or ``None`` if it did not run.

    Raises ResultsError for a file that it did not write.
    """
    path = folder / EVALUATION_FILE
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"), parse_constant=float)
    except (OSError, ValueError, RecursionError) as error:
        raise ResultsError(f"{path}: cannot be read: {error}") from None
    if not _is_evaluation(found):
        raise ResultsError(f"{path}: cannot be read: tuner evaluate did not write it")
    return dict(found)


def _is_evaluation(found: Any) -> bool:
    if not isinstance(found, dict) or not isinstance(found.get("candidates"), list):
        return False
    test = found.get("test")
    candidates = found["candidates"]
    return (
        all(isinstance(found.get(key), str) for key in ("metric", "chosen"))
        and _is_count(found.get("repeats"))
        and all(isinstance(each, dict) and _is_candidate(each) for each in candidates)
        and [each["trial"] for each in candidates].count(found["chosen"]) == 1
        and isinstance(test, dict)
        and isinstance(test.get("metric"), str)
        and isinstance(test.get("values"), list)
        and _is_number(test.get("mean"))
        and (test.get("spread") is None or _is_number(test["spread"]))
    )


def _is_candidate(candidate: dict[str, Any]) -> bool:
    maybe = [candidate.get(key) for key in ("mean", "spread", "iteration")]
    return (
        isinstance(candidate.get("trial"), str)
        and _is_number(candidate.get("claimed"))
        and _is_count(candidate.get("failures"))
        and all(value is None or _is_number(value) for value in maybe)
    )


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53


def _is_number(value: Any) -> bool:
    if isinstance(value, int) and not isinstance(value, bool):
        return abs(value) < 2**53
    return isinstance(value, float) and math.isfinite(value)


def rows(evaluation: dict[str, Any]) -> list[dict[str, str]]:
    """Return one row per candidate: the value that the search claimed, and the values of its repeats."""
    return [
        {
            "trial": candidate["trial"],
            "claimed": short(candidate["claimed"]),
            "mean": "" if candidate["mean"] is None else short(candidate["mean"]),
            "spread": "" if candidate["spread"] is None else short(candidate["spread"]),
            "iteration": "" if candidate["iteration"] is None else str(candidate["iteration"]),
            "outcome": _remark(candidate, evaluation),
        }
        for candidate in evaluation["candidates"]
    ]


def title(evaluation: dict[str, Any]) -> str:
    """Return a title for the rows."""
    repeats = evaluation["repeats"]
    return f"evaluation: {evaluation['metric']} over {repeats} fresh seeds and divisions of the rows"


def verdict(evaluation: dict[str, Any]) -> str:
    """Return the test value of the chosen configuration, and the value that the search claimed."""
    test = evaluation["test"]
    [claimed] = [
        each["claimed"] for each in evaluation["candidates"] if each["trial"] == evaluation["chosen"]
    ]
    spread = "" if test["spread"] is None else f", standard deviation {short(test['spread'])}"
    seeds = f"{len(test['values'])} seed{'' if len(test['values']) == 1 else 's'}"
    return (
        f"{test['metric']} of trial {evaluation['chosen']}: mean {short(test['mean'])}{spread}, {seeds}; "
        f"the search claimed {evaluation['metric']} {short(claimed)}"
    )


def _remark(candidate: dict[str, Any], evaluation: dict[str, Any]) -> str:
    if candidate["failures"]:
        return f"{candidate['failures']} failed"
    return "chosen" if candidate["trial"] == evaluation["chosen"] else ""
