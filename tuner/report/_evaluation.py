"""What ``tuner evaluate`` found, as rows and sentences."""

from __future__ import annotations

from typing import Any

from tuner.report.words import short


def rows(evaluation: dict[str, Any]) -> list[dict[str, str]]:
    """One row per candidate: what the search claimed, and what came of repeating it."""
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
    """What the rows are."""
    repeats = evaluation["repeats"]
    return f"evaluation: {evaluation['metric']} over {repeats} fresh seeds and divisions of the rows"


def verdict(evaluation: dict[str, Any]) -> str:
    """What the test rows said of the chosen configuration, and what the search had claimed."""
    test = evaluation["test"]
    [claimed] = [
        each["claimed"] for each in evaluation["candidates"] if each["trial"] == evaluation["chosen"]
    ]
    spread = "" if test["spread"] is None else f", standard deviation {short(test['spread'])}"
    seeds = f"{len(test['values'])} seed{'' if len(test['values']) == 1 else 's'}"
    return (
        f"{test['metric']} of trial {evaluation['chosen']}: mean {short(test['mean'])}{spread}, {seeds}; "
        f"the search had claimed {evaluation['metric']} {short(claimed)}"
    )


def _remark(candidate: dict[str, Any], evaluation: dict[str, Any]) -> str:
    if candidate["failures"]:
        return f"{candidate['failures']} failed"
    return "chosen" if candidate["trial"] == evaluation["chosen"] else ""
