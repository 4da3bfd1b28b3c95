"""The scheduler's decisions, and the errors of failed trials."""

from __future__ import annotations

from collections.abc import Sequence

from tuner.objective import ITERATIONS
from tuner.report.page._plot import state_label
from tuner.report.page._words import brief, cut, text
from tuner.report.page.data import DecisionData, PageData
from tuner.report.phrases import clean, ordinal, several

_RECENT = 20
_MAX_DECISIONS = 800


def decisions(page: PageData) -> str:
    """Return the section of the scheduler's decisions; empty if there are none."""
    if not page.decisions:
        return ""
    recent = page.decisions[-_RECENT:][::-1]
    rest = page.decisions[:-_RECENT][::-1]
    parts = [f'<section id="decisions"><h2>Decisions</h2>{_decision_table(recent, page)}']
    if rest:
        shown = rest[:_MAX_DECISIONS]
        cut_note = f" ({len(shown):,} of them)" if len(shown) < len(rest) else ""
        parts.append(
            f"<details><summary>{len(rest):,} earlier decisions{cut_note}</summary>"
            f"{_decision_table(shown, page)}</details>"
        )
    return "".join([*parts, "</section>"])


def errors(page: PageData) -> str:
    """Return the section of failed trials, grouped by the last lines of their tracebacks."""
    if not page.errors:
        return ""
    blocks = "".join(
        f"<details><summary>{error.count:,} &times; {text(cut(error.cause, 300))}</summary>"
        f'<p class="soft">Trial {error.trial:05d}{" and others" if error.count > 1 else ""}</p>'
        f"<pre>{text(error.text)}</pre></details>"
        for error in page.errors
    )
    failed = len({trial.cause for trial in page.trials if trial.cause})
    more = f"<p class='soft'>The {len(page.errors)} commonest of {failed:,} different errors.</p>"
    return (
        f'<section id="errors"><h2>Errors</h2>{blocks}{more if failed > len(page.errors) else ""}</section>'
    )


def in_words(decision: DecisionData, resource: str) -> str:
    """Return the reasons for a decision in a few words."""
    parts = []
    if decision.rank is not None and decision.of is not None:
        parts.append(f"{ordinal(decision.rank)} of {decision.of}")
    if decision.value is not None:
        parts.append(f"value {brief(float(decision.value))}")
    if decision.cutoff is not None:
        parts.append(f"cut-off {brief(float(decision.cutoff))}")
    if decision.bracket is not None:
        parts.append(f"bracket {decision.bracket}")
    if decision.reason:
        parts.append(clean(decision.reason))
    at = _where(decision, resource)
    return f"{at}: {', '.join(parts)}" if parts else at


def _where(decision: DecisionData, resource: str) -> str:
    if decision.rung is not None:
        return f"at rung {brief(decision.rung)}"
    if resource == ITERATIONS:
        return f"after {several(int(decision.resource), 'iteration')}"
    return f"at {resource} {brief(decision.resource)}"


_PAST = {"pause": "paused", "resume": "resumed", "stop": "stopped"}


def _decision_table(shown: Sequence[DecisionData], page: PageData) -> str:
    rows = "".join(
        f'<tr><td class="n">{each.seconds:,.1f}</td><td>{each.trial:05d}</td>'
        f"<td>{_action_label(each.action)}</td>"
        f'<td class="why">{text(in_words(each, page.resource))}</td></tr>'
        for each in shown
    )
    return (
        '<div class="scroll short"><table><thead><tr><th class="n" scope="col">seconds</th>'
        '<th scope="col">trial</th><th scope="col">decision</th><th scope="col">why</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _action_label(action: str) -> str:
    past = _PAST[action]
    return (
        state_label(past)
        if past != "resumed"
        else state_label("running").replace("running</span>", "resumed</span>")
    )
