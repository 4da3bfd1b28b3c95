"""Drawings of the best architectures: a box for each layer, an arc for each skip connection."""

from __future__ import annotations

from tuner.report.page._plot import Figure
from tuner.report.page._words import brief, cut, text
from tuner.report.page.data import PageData, TrialData

_MAX_DRAWN = 6

# Sizes of a drawing in pixels. Arcs have room on both sides of a box.
_WIDTH = 300
_BOX = (42, 216, 26)  # left edge, width, height
_STEP = 40
_TOP = 4

# The middle layers of a longer architecture are left out.
_MAX_LAYERS = 14
_LONGEST = 34


def architectures(page: PageData) -> Figure | None:
    """Draw the best architectures, each once. Returns ``None`` if there is none with a value."""
    searched = [each.name for each in page.dimensions if each.kind == "layers"]
    by_number = {trial.number: trial for trial in page.trials}
    ranked = [by_number[number] for number in page.ranked]
    cards = []
    for name in searched:
        seen: dict[str, TrialData] = {}
        for trial in ranked:
            layers = trial.config.get(name)
            if isinstance(layers, str) and trial.value is not None and trial.state != "failed":
                seen.setdefault(layers, trial)
        for layers, trial in list(seen.items())[:_MAX_DRAWN]:
            caption = f"trial {trial.id}: {page.metric} {brief(trial.value)}"
            cards.append(f"<figure>{_drawing(layers)}<figcaption>{text(caption)}</figcaption></figure>")
    if not cards:
        return None
    arcs = "An arc at the side is a skip connection: the layer also gets that earlier output."
    return Figure(
        "architectures", "Best architectures", f'<div class="cards">{"".join(cards)}</div>', (arcs,)
    )


def _drawing(written: str) -> str:
    """Return an architecture as SVG, with the input at the top. Layers are separated by ``;``."""
    layers = [_Layer(part) for part in written.split(";")]
    boxes: list[tuple[int, str]] = [(0, "input")]
    boxes += [(number, layer.label) for number, layer in enumerate(layers, start=1)]
    if len(boxes) > _MAX_LAYERS:
        half = _MAX_LAYERS // 2
        left_out = len(boxes) - 2 * half
        boxes = [*boxes[:half], (-1, f"… {left_out} more …"), *boxes[-half:]]
    row = {number: position for position, (number, _) in enumerate(boxes)}
    left, width, height = _BOX
    parts = []
    for position, (number, label) in enumerate(boxes):
        y = _TOP + position * _STEP
        css = "box" if number > 0 else "box input"
        parts.append(f'<rect class="{css}" x="{left}" y="{y}" width="{width}" height="{height}" rx="5"/>')
        parts.append(
            f'<text class="mid" x="{left + width / 2:g}" y="{y + 17}">{text(cut(label, _LONGEST))}</text>'
        )
        if position:
            parts.append(
                f'<path class="flow" d="M{left + width / 2:g} {y - _STEP + height}v{_STEP - height}"/>'
            )
            parts.append(f'<use href="#arrow-down" class="flow" x="{left + width / 2:g}" y="{y}"/>')
    for number, layer in enumerate(layers, start=1):
        for source in layer.skip:
            if source in row and number in row:
                parts.append(_arc(row[source], row[number]))
    total = _TOP + (len(boxes) - 1) * _STEP + height + 4
    return (
        f'<svg class="net" width="{_WIDTH}" height="{total}" viewBox="0 0 {_WIDTH} {total}" role="img" '
        f'aria-label="{text(written)}">{"".join(parts)}</svg>'
    )


class _Layer:
    """A layer read from its text: a label, and the earlier layers whose outputs it also gets."""

    def __init__(self, written: str) -> None:
        words = written.split()
        fields = [word for word in words[1:] if not word.startswith("skip=")]
        self.label = " ".join([*words[:1], *(brief(field) for field in fields)]) or "layer"
        self.skip = [
            int(source)
            for word in words[1:]
            if word.startswith("skip=")
            for source in word.removeprefix("skip=").split(",")
            if source.isdecimal()
        ]


def _arc(source: int, target: int) -> str:
    """Return an arc between two boxes. Arcs over an even number of rows are on the right."""
    left, width, height = _BOX
    begin, end = _TOP + source * _STEP + height / 2, _TOP + target * _STEP + height / 2
    reach = min(16 + 9 * (target - source), left)
    edge, side = (left + width, 1) if (target - source) % 2 == 0 else (left, -1)
    bend = edge + side * reach
    return (
        f'<path class="skip" d="M{edge} {begin:g}C{bend:g} {begin:g} {bend:g} {end:g} {edge} {end:g}"/>'
        f'<circle class="skipend" cx="{edge}" cy="{end:g}" r="2.6"/>'
    )
