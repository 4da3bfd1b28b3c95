"""The results of ``tuner evaluate``: claimed and repeated values of the best configurations."""

from __future__ import annotations

from typing import Any

from tuner.report import _evaluation
from tuner.report.page._plot import Figure, Plot, legend, line_key
from tuner.report.page._scales import Scale, linear
from tuner.report.page._words import brief, text
from tuner.report.page.data import PageData

# Pixels for each candidate.
_ROW = 34


def candidates(page: PageData) -> Figure | None:
    """Draw the claimed value and the repeats of each candidate; ``None`` if there are none."""
    if page.evaluation is None:
        return None
    found = page.evaluation
    title = _evaluation.title(found)
    body = _plot(found) + _table(found) + f"<p>{text(_evaluation.verdict(found))}</p>"
    key = legend(
        [
            ("claim", "claimed by the search"),
            ("dot", f"mean of {found['repeats']} repeats"),
            (line_key("c best"), "one standard deviation to either side"),
        ]
    )
    return Figure("evaluation", title[0].upper() + title[1:], body, legend=key)


def _plot(found: dict[str, Any]) -> str:
    rows = found["candidates"]
    count = len(rows)
    ends = [value for each in rows for value in (each["claimed"], *_ends(each))]
    ticks = tuple((count - 1.0 - row, str(each["trial"])) for row, each in enumerate(rows))
    y = Scale(-0.5, count - 0.5, ticks)
    plot = Plot(linear(ends), y, height=_ROW * count, labels=(found["metric"], "trial"))
    for row, each in enumerate(rows):
        up = count - 1.0 - row
        ends_here = _ends(each)
        if len(ends_here) == 2:
            plot.line([(end, up) for end in ends_here], "c best")
        plot.mark(each["claimed"], up, "claim", f"claimed {brief(float(each['claimed']))}")
        if each["mean"] is not None:
            plot.mark(each["mean"], up, "dot", f"mean {brief(float(each['mean']))}")
    return plot.html()


def _ends(candidate: dict[str, Any]) -> list[float]:
    """Return the mean minus and plus one standard deviation; only the mean if there is no deviation."""
    mean, spread = candidate["mean"], candidate["spread"]
    if mean is None:
        return []
    return [float(mean)] if spread is None else [float(mean - spread), float(mean + spread)]


def _table(found: dict[str, Any]) -> str:
    rows = _evaluation.rows(found)
    head = "".join(f'<th scope="col">{text(name)}</th>' for name in rows[0])
    body = "".join(f"<tr>{''.join(f'<td>{text(cell)}</td>' for cell in row.values())}</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
