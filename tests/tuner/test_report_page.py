"""The HTML page of a report, for each kind of sweep."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from dataclasses import asdict, replace
from html.parser import HTMLParser
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.tuner.journal_rows import put
from tests.tuner.test_report import ADAM, ERROR, SGD, SPACE, Writer, mixed, writer
from tuner.journal import FILE_NAME, Journal
from tuner.report import Report, renderings
from tuner.report.page import _heatmap, _trials, html_snippet, page_data
from tuner.report.page._scales import linear, logarithmic, of_values
from tuner.report.page._words import brief

__all__ = ["mixed", "writer"]

RECORDED = Path(__file__).with_name("journals")
VOID = {"meta", "br", "input"}
BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None
)


class Page(HTMLParser):
    """A strictly parsed page: its sections, its attributes, and its texts outside scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.texts: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.section = ""
        self.sections: dict[str, str] = {}
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        if tag == "section":
            self.section = dict(attrs)["id"] or ""
            self.sections[self.section] = ""
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
        if tag == "section":
            self.section = ""

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("script", "style", "pre"):
            self.texts.append(data)
            if self.section:
                self.sections[self.section] += f" {data}"

    def values(self, name: str) -> list[str]:
        """Return all values of an attribute."""
        return [value for _, found, value in self.attributes if found == name]


def page_of(report: Report) -> Page:
    return Page(renderings.html(report))


def section(report: Report, key: str) -> str:
    """Return the HTML of a section."""
    found = re.search(rf'<section id="{key}">.*?</section>', renderings.html(report), re.DOTALL)
    assert found is not None, key
    return found[0]


def data_of(report: Report) -> Any:
    """Return the data that the page passes to its script."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', renderings.html(report))
    assert found is not None
    return json.loads(found[1])


def cells_of(report: Report) -> dict[str, tuple[str, list[Any]]]:
    """Return the kind and the cells of each column that the page passes to its script."""
    return {
        column["name"]: (
            column["kind"],
            [column["values"][cell] for cell in column["cells"]] if "values" in column else column["cells"],
        )
        for column in data_of(report)["trials"]["columns"]
    }


def recorded(name: str, folder: Path) -> Report:
    (folder / FILE_NAME).write_bytes((RECORDED / f"{name}.sqlite").read_bytes())
    return Report.read(folder)


def many(writer: Writer, count: int, *, space: dict[str, Any] | None = None) -> Report:
    """Return a finished sweep in which ``lr`` decides and ``depth`` has no effect."""
    writer.sweep(
        space=space or {"lr": {"float": [0.0, 1.0]}, "depth": {"int": [1, 3]}, "kind": {"choice": ["a", "b"]}}
    )
    for trial in range(count):
        lr = trial * 0.618034 % 1
        writer.start(trial, {"lr": lr, "depth": trial % 3 + 1, "kind": "ab"[trial % 2]})
        writer.results(trial, lr / 2, lr)
        writer.end(trial)
    return writer.finish()


def grid(writer: Writer) -> Report:
    """Return a grid of 2 x 3 values, each trained twice."""
    writer.sweep(space={"x": {"choice": [0.1, 0.2]}, "y": {"ordinal": [8, 16, 32]}})
    for trial in range(12):
        x, y = (0.1, 0.2)[trial % 2], (8, 16, 32)[trial // 2 % 3]
        writer.start(trial, {"x": x, "y": y})
        writer.results(trial, x * y + trial // 6)
        writer.end(trial)
    return writer.finish()


# Structure


@pytest.mark.parametrize("name", ["asha", "failing", "pbt", "two"])
def test_the_page_of_each_kind_of_sweep_is_well_formed(name: str, tmp_path: Path) -> None:
    page = page_of(recorded(name, tmp_path))
    links = [value[1:] for tag, key, value in page.attributes if (tag, key) == ("a", "href")]
    assert set(links) == page.sections.keys()
    assert {value for tag, key, value in page.attributes if (tag, key) == ("use", "href")} <= {
        f"#{value}" for value in page.values("id")
    }


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("asha", {"curves", "incumbent", "importance", "parallel", "hyperparameters", "timeline"}),
        ("failing", {"errors", "timeline"}),
        ("pbt", {"schedules", "lineage", "curves"}),
        ("two", {"front", "curves"}),
    ],
)
def test_each_kind_of_sweep_has_its_figures(name: str, expected: set[str], tmp_path: Path) -> None:
    assert expected <= page_of(recorded(name, tmp_path)).sections.keys()


@pytest.mark.parametrize("name", ["asha", "failing", "pbt", "two"])
def test_figures_of_other_kinds_of_sweep_are_left_out(name: str, tmp_path: Path) -> None:
    sections = page_of(recorded(name, tmp_path)).sections.keys()
    assert ("lineage" in sections) == ("schedules" in sections) == (name == "pbt")
    assert ("front" in sections) == (name == "two")
    assert ("errors" in sections) == (name == "failing")
    assert not {"architectures", "evaluation"} & sections


def test_an_empty_sweep_and_a_single_trial_have_a_page(writer: Writer) -> None:
    writer.sweep()
    empty = page_of(writer.read())
    assert "No trial has a value of accuracy." in empty.texts
    assert "No trial has reported a result." in empty.sections["curves"]
    assert "No trial has been suggested yet." in empty.sections["trials"]
    writer.start(0)
    writer.results(0, 0.5)
    single = page_of(writer.read())
    assert {"curves", "timeline", "trials"} <= single.sections.keys()
    assert not {"heatmap", "parallel", "hyperparameters"} & single.sections.keys()


def test_the_data_of_the_page_are_strict_json(mixed: Report) -> None:
    data = page_data(mixed).to_dict()
    again = json.loads(json.dumps(data, allow_nan=False))
    assert again["trials"][0]["curve"] == [[1, 0.5], [2, 0.9], [3, 0.8]]
    assert again["trials"][1]["places"] == [0.01, None, 1.0, None]
    assert again["best"] == 0


# Safety


def test_user_text_cannot_become_part_of_the_page(writer: Writer) -> None:
    evil = "</script><script>alert('x')</script>"
    writer.sweep(space={evil: {"choice": [evil, "b"]}, "state": {"choice": [evil]}, "constant": evil})
    for trial in (0, 1):
        writer.start(trial, {evil: evil, "state": evil, "constant": evil})
        put(
            writer.journal,
            "result",
            trial,
            iteration=1,
            value=0.5 + trial,
            seconds=1.0,
            metrics={evil: 1.0, "text": evil},
        )
    put(writer.journal, "checkpoint", 1, path=evil, iteration=1, best=evil)
    decision = {"action": "stop", "resource": 1, "reason": evil}
    put(writer.journal, "decision", 0, **decision)
    writer.end(0, "failed", f"Traceback {evil}\nValueError: {evil}")
    writer.end(1)
    report = writer.finish()
    text = renderings.html(report)
    assert text.count("<script") == 2
    assert "&lt;script&gt;" in text
    page = Page(text)
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    assert data_of(report)["trials"]["columns"][5]["name"] == evil
    assert "<script" not in html_snippet(report)


def test_the_page_needs_no_network(mixed: Report) -> None:
    page = page_of(mixed)
    text = re.sub(r'"http://www.w3.org/2000/svg"', "", renderings.html(mixed))
    assert not re.search(r"https?:|//[a-z]+\.|@import|<link|<img|<iframe|url\(|fetch\(|XMLHttp", text)
    assert page.values("src") == []
    assert all(value.startswith("#") for value in page.values("href"))
    [policy] = [value for value in page.values("content") if "default-src" in value]
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-")


def test_trials_and_figures_are_visible_without_scripts(mixed: Report) -> None:
    text = re.sub(r"<script.*?</script>", "", renderings.html(mixed), flags=re.DOTALL)
    page = Page(text)
    assert all(f" {trial.id}" in page.sections["trials"] for trial in mixed.trials)
    assert re.search(r"\.tuner \.js \{ display: none; \}", text)
    assert text.count("<polyline") >= 2


def test_the_page_has_colours_for_dark_displays_and_no_fixed_width(mixed: Report) -> None:
    text = renderings.html(mixed)
    assert "@media (prefers-color-scheme: dark)" in text
    assert 'name="viewport" content="width=device-width' in text
    assert not re.search(r"min-width: [4-9]\d\d px", text)


def test_the_script_draws_like_the_page() -> None:
    """Both use the same limits, since the script redraws what the page was written with."""
    script = files("tuner.report.page").joinpath("page.js").read_text()
    found = {name: int(value) for name, value in re.findall(r"const ([A-Z_]+) = (\d+);", script)}
    assert found == {
        "PAGE_ROWS": _trials._MAX_ROWS,
        "LONGEST_CELL": _trials._LONGEST_CELL,
        "LEVELS": _heatmap.LEVELS,
        "MAX_HORIZONTAL_CHARACTERS": _heatmap._MAX_HORIZONTAL_CHARACTERS,
    }


@pytest.mark.skipif(BROWSER is None, reason="needs a browser")
def test_a_browser_runs_the_script_of_the_page(large: Report, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text(renderings.html(large), encoding="utf-8")
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'browser'}"]
    command = [str(BROWSER), *options, "--virtual-time-budget=5000", "--dump-dom", path.as_uri()]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert '<body class="tuner js-on">' in shown
    assert "1050 of 1050 trials" in shown
    body = shown[
        shown.index('<table id="table">') : shown.index("</table>", shown.index('<table id="table">'))
    ]
    assert body.count("<tr") == 1 + 100
    assert body.count('href="#m-completed"') == 100
    assert '<tr class="top"><td>01049</td>' in body


# Numbers and ticks


@pytest.mark.parametrize("name", ["asha", "failing", "pbt", "two"])
def test_no_number_has_more_than_six_digits_after_the_point(name: str, tmp_path: Path) -> None:
    page = page_of(recorded(name, tmp_path))
    assert not re.search(r"\d\.\d{7,}", " ".join(page.texts))
    assert not re.search(r"\d{16}", " ".join(page.texts))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.123456789, "0.1235"),
        (1 / 3, "0.3333"),
        (2.0, "2"),
        (123456, "123456"),
        (1234567890123456, "1.235e+15"),
        (1.5e-9, "1.5e-9"),
        ([0.1 + 0.2, {"a": 1 / 3}], "[0.3, {a: 0.3333}]"),
        (True, "true"),
        (None, "null"),
        ("x", "x"),
    ],
)
def test_values_are_written_with_four_significant_digits(value: Any, text: str) -> None:
    assert brief(value) == text


@pytest.mark.parametrize("last", [1, 2, 3, 7, 27, 500, 12_345])
def test_an_axis_of_whole_numbers_has_whole_ticks(last: int) -> None:
    ticks = linear([1.0, float(last)], whole=True).ticks
    assert ticks
    assert all(value == int(value) and "." not in label for value, label in ticks)
    assert len({label for _, label in ticks}) == len(ticks) <= 10


@pytest.mark.parametrize(("low", "high"), [(1, 3), (16, 256), (1, 10_000), (3, 4)])
def test_a_logarithmic_axis_of_whole_numbers_has_whole_ticks(low: int, high: int) -> None:
    ticks = logarithmic(low, high, whole=True).ticks
    assert len(ticks) >= 2
    assert all(value == int(value) for value, _ in ticks)


def test_scales_are_logarithmic_where_values_span_decades() -> None:
    assert of_values([1.0, 1_000.0]).is_log
    assert not of_values([1.0, 10.0]).is_log
    assert not of_values([0.0, 1_000.0]).is_log


def test_ticks_of_iterations_on_the_page_are_whole(writer: Writer) -> None:
    writer.sweep()
    for trial in range(2):
        writer.run(trial, 0.1, 0.2, 0.3)
    curves = section(writer.finish(), "curves")
    labels = re.findall(r'<text x="[^"]*" y="100%" dy="17">([^<]*)</text>', curves)
    assert labels == ["1", "2", "3"]


# Figures


def test_the_page_shows_the_best_and_the_counts(mixed: Report) -> None:
    text = renderings.html(mixed)
    assert re.search(r'<div class="big" title="0.9">0.9</div>', text)
    assert "6, against 14 without early stopping (43%)" in text
    assert section(mixed, "curves").count('<polyline class="c best"') == 1
    assert section(mixed, "curves").count("<polyline") == 1  # the others have one result each, so no curve
    plots = re.findall(r'aria-label="accuracy against ([^"]*)"', section(mixed, "hyperparameters"))
    assert plots == ["lr (log)", "momentum", "optimizer", "hidden"]
    assert "1 &times; ValueError: loss is nan" in text
    assert "File &quot;x.py&quot;, line 3" in text


def test_states_differ_by_shape_and_not_by_colour_alone(mixed: Report) -> None:
    text = renderings.html(mixed)
    shapes = dict(re.findall(r'<g id="m-(\w+)" class="tuner-mark \w+">(.*?)</g>', text))
    states = ("completed", "stopped", "failed", "running", "paused", "pending")
    drawn = [shapes[state] if state != "pending" else shapes[state] + "hollow" for state in states]
    assert len(set(drawn)) == 6
    assert re.search(r"\.tuner-mark\.pending \{ fill: none;", text)
    used = set(re.findall(r'<use href="#m-(\w+)"', section(mixed, "hyperparameters")))
    assert used == {"best", "stopped", "failed", "paused"}


def test_rungs_and_cut_offs_are_on_the_learning_curves(mixed: Report) -> None:
    curves = section(mixed, "curves")
    assert curves.count('<line class="rung"') == 1
    assert "rung 1: 2 trials stopped or paused" in curves
    assert "rung 1: the cut-off is 0.45" in curves


def test_rungs_of_another_resource_are_not_drawn_on_the_curves(writer: Writer) -> None:
    sweep = {"objective": {"metric": "accuracy", "mode": "max"}, "scheduler": {"resource": "samples"}}
    put(writer.journal, "sweep", sweep=sweep, version="0")
    writer.start(0)
    writer.results(0, 0.5, 0.6)
    put(writer.journal, "decision", 0, action="stop", resource=64, rung=64, value=0.6, cutoff=0.7)
    writer.end(0, "stopped")
    report = writer.finish()
    assert '<line class="rung"' not in section(report, "curves")
    assert "at rung 64: value 0.6, cut-off 0.7" in page_of(report).sections["decisions"]


def test_one_exploding_trial_does_not_flatten_the_others(writer: Writer) -> None:
    writer.sweep(mode="min")
    for trial in range(20):
        writer.run(trial, 0.5 + trial / 100, 0.3 + trial / 100)
    writer.run(20, 1e300, 1e308)
    report = writer.finish()
    assert "The largest outliers lie outside the plot." in renderings.html(report)
    labels = re.findall(r'<text class="y"[^>]*>([^<]*)', section(report, "curves"))
    assert labels
    assert all(float(label) < 2 for label in labels)
    assert "nan" not in " ".join(page_of(report).texts)


@pytest.mark.parametrize(
    "entry",
    [
        {"float": [0.5, 0.5]},
        {"int": [3, 3], "log": True},
        {"float": [1e-300, 1e300], "log": True},
        {"float": [-1.0, 1e9]},
        {"choice": [True, 1, [1, 2], None, "long" * 20, 0.1]},
    ],
    ids=["one point", "one whole number", "wide log", "wide", "mixed choices"],
)
def test_every_kind_of_dimension_is_drawn(writer: Writer, entry: dict[str, Any]) -> None:
    writer.sweep(space={"x": entry, "y": {"choice": ["a", "b"]}})
    for trial, value in enumerate(entry.get("choice") or entry.get("float") or entry["int"]):
        writer.start(trial, {"x": value, "y": "a"})
        writer.results(trial, 0.5)
        writer.end(trial)
    report = writer.finish()
    first = re.split(r'<div class="plot', section(report, "hyperparameters"))[1]
    assert first.count('<use href="#m-') == len(report.trials)
    assert section(report, "heatmap").count("<rect") >= 1
    numbers = re.findall(r'[xy]\d?="([^"%]*)%"', renderings.html(report))
    assert numbers
    assert all(-100 <= float(number) <= 200 for number in numbers)


def test_a_grid_has_one_cell_for_each_pair_of_values(writer: Writer) -> None:
    heat = section(grid(writer), "heatmap")
    assert heat.count("<rect") == 6
    assert "x 0.2, y 32: 7.4, 2 trials" in heat  # the better of 6.4 and 7.4
    labels = re.findall(r'<text class="[xy]"[^>]*>([^<]*)</text>', heat)
    assert labels == ["0.1", "0.2", "8", "16", "32"]
    assert "A cell is one pair of values." in heat


def test_the_best_cell_has_the_last_colour_and_the_worst_the_first(writer: Writer) -> None:
    heat = section(grid(writer), "heatmap")
    by_title = {title: css for css, title in re.findall(r'<rect class="(q\d)".*?<title>([^<:]*):', heat)}
    assert by_title["x 0.2, y 32"] == "q8"
    assert by_title["x 0.1, y 8"] == "q0" or by_title["x 0.1, y 8"] < by_title["x 0.1, y 32"]


def test_ranges_are_binned_and_any_pair_can_be_chosen(writer: Writer) -> None:
    report = many(writer, 40)
    heat = section(report, "heatmap")
    assert heat.count("<option") == 2 * 3 + 2
    cells = data_of(report)["cells"]
    assert [axis["name"] for axis in cells["axes"]] == ["lr", "depth", "kind"]
    lr, depth, kind = cells["axes"]
    assert not lr["exact"]
    assert len(lr["labels"]) == 11
    assert (depth["labels"], kind["labels"]) == (["1", "2", "3"], ["a", "b"])
    assert kind["codes"] == "01" * 20
    assert len(cells["values"]) == len(lr["codes"]) == 40
    assert [int(code) for code in lr["codes"][:5]] == [int(trial * 0.618034 % 1 * 10) for trial in range(5)]


def test_parallel_coordinates_have_gaps_for_inactive_hyperparameters(writer: Writer) -> None:
    writer.sweep()
    for trial, config in enumerate([SGD, ADAM, SGD]):
        writer.start(trial, config)
        writer.results(trial, 0.5 + trial / 10)
        writer.end(trial)
    parallel = section(writer.finish(), "parallel")
    paths = dict(
        (trial, path) for path, trial in re.findall(r'<path[^>]* d="([^"]*)"><title>trial (\d+)', parallel)
    )
    assert paths["00000"].count("M") == 1
    assert (
        paths["00000"].count("L") == len(SPACE) - 1
    )  # one segment to each further dimension, and one to the value
    # lr | momentum is inactive | optimizer | hidden is inactive | value
    assert paths["00001"].count("M") == 3
    assert "L" not in paths["00001"]
    assert "A line has a gap where a hyperparameter is inactive." in parallel


def test_importance_finds_the_decisive_hyperparameter_and_has_intervals(writer: Writer) -> None:
    report = many(writer, 60)
    found = page_data(report).importances
    first, *rest = found.rows
    assert first.name == "lr"
    assert first.share > 0.6 > first.low - 0.5
    assert sum(row.share for row in found.rows) == pytest.approx(1)
    assert all(0 <= row.low <= row.share <= row.high <= 1 for row in found.rows)
    assert first.low > max(row.share for row in rest)
    assert "PED-ANOVA over 60 trials" in section(report, "importance")


def test_importance_is_reproducible(writer: Writer) -> None:
    report = many(writer, 30)
    assert page_data(report).importances == page_data(report).importances


def test_importance_reports_too_few_trials(writer: Writer) -> None:
    text = page_of(many(writer, 19)).sections["importance"]
    assert "Too few trials: there are 19 of the 20 trials with a value that importance needs." in text


def test_importance_counts_inactive_hyperparameters_as_absent(writer: Writer) -> None:
    writer.sweep()
    for trial in range(40):
        lr = 10 ** (-4 * (trial * 0.618034 % 1))
        config = {**SGD, "lr": lr} if trial % 2 else {**ADAM, "lr": lr}
        writer.start(trial, config)
        writer.results(trial, trial % 2 + trial / 1e6)
        writer.end(trial)
    names = {row.name: row.share for row in page_data(writer.finish()).importances.rows}
    assert set(names) == {"lr", "momentum", "optimizer", "hidden"}
    assert max(names, key=lambda name: names[name]) in ("optimizer", "momentum", "hidden")


def test_the_timeline_has_a_row_for_each_lane_of_each_worker(writer: Writer) -> None:
    writer.sweep()
    for trial, worker in ((0, 7), (1, 7), (2, 9)):
        put(writer.journal, "suggested", trial, config=ADAM, seed=1)
        put(writer.journal, "started", trial, node="127.0.0.1", worker=worker)
    writer.results(0, 0.5)
    put(writer.journal, "lost", 0, error="died")
    writer.end(1)
    put(writer.journal, "started", 0, node="127.0.0.1", worker=7)
    put(writer.journal, "decision", 2, action="pause", resource=1)
    data = page_data(writer.read())
    assert data.lanes == ("worker 1, lane 1", "worker 1, lane 2", "worker 2")
    assert [(span.trial, span.row, span.outcome) for span in data.spans] == [
        (0, 0, "lost"),
        (1, 1, "completed"),
        (2, 2, "paused"),
        (0, 0, "running"),
    ]
    assert all(span.ended >= span.began for span in data.spans)
    assert section(writer.read(), "timeline").count("<rect") == 4


def test_a_trial_of_a_killed_run_is_marked_lost_where_the_run_ended(writer: Writer) -> None:
    writer.sweep()
    writer.start(0)
    writer.results(0, 0.5)
    for _ in range(100):
        next(writer.ticks)
    put(writer.journal, "resumed", version="0")
    put(writer.journal, "started", 0, node="127.0.0.1")
    writer.end(0)
    first, second = page_data(writer.finish()).spans
    assert (first.outcome, second.outcome) == ("lost", "completed")
    assert first.ended <= second.began < 10


def test_the_front_has_a_line_and_pale_dominated_trials(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    objective = [{"metric": "loss", "mode": "min"}, {"metric": "size", "mode": "min"}]
    put(journal, "sweep", sweep={"name": "two", "space": {}, "objective": objective}, version="0")
    for trial, values in enumerate([(1.0, 10.0), (0.5, 100.0), (0.1, 10_000.0), (1.0, 5_000.0)]):
        put(journal, "suggested", trial, config={}, seed=1)
        put(journal, "started", trial, node="n")
        put(
            journal,
            "result",
            trial,
            iteration=1,
            value=values[0],
            values=list(values),
            seconds=1.0,
            metrics={},
        )
        put(journal, "ended", trial, state="completed", error=None)
    journal.close()
    front = section(Report.read(tmp_path), "front")
    assert front.count('<use href="#m-best" x=') == 3
    assert front.count('<use href="#m-completed" class="pale"') == 1
    assert "size (min, log)" in front
    [line] = re.findall(r'<polyline class="c front" points="([^"]*)"', front)
    points = [tuple(map(float, point.split(","))) for point in line.split()]
    # A staircase: each step changes one coordinate, and the front never rises above what was reached.
    assert len(points) == 5
    assert all(a[0] == b[0] or a[1] == b[1] for a, b in pairwise(points))


def test_pbt_shows_schedules_and_copies(tmp_path: Path) -> None:
    report = recorded("pbt", tmp_path)
    copies = sum(change.source != trial.number for trial in report.trials for change in trial.changes)
    assert copies > 0
    lineage = section(report, "lineage")
    assert lineage.count('<use href="#arrow-') == copies
    assert all(f">{trial.id}</text>" in lineage for trial in report.trials)
    assert "newest cut-off" not in section(report, "curves")
    assert "tuner evaluate" not in section(report, "next")  # it refuses trials that changed
    schedules = section(report, "schedules")
    assert 'class="c best"' in schedules
    assert "lr" in schedules


def test_the_best_architectures_are_drawn_with_their_skip_connections(writer: Writer) -> None:
    kinds = {"dense": {"width": [16, 32]}}
    writer.sweep(space={"layers": {"architecture": kinds, "layers": [1, 3], "skip": True}})
    written = ["dense width=16", "dense width=16; dense width=32 skip=0", "dense width=16"]
    for trial, layers in enumerate(written):
        writer.start(trial, {"layers": layers})
        writer.results(trial, 0.5 + trial)
        writer.end(trial)
    drawn = section(writer.finish(), "architectures")
    assert drawn.count('<svg class="net"') == 2  # equal architectures are drawn once
    assert drawn.count('<path class="skip"') == 1
    assert drawn.count('<rect class="box"') == 3
    assert "trial 00002: accuracy 2.5" in drawn


def test_a_part_of_a_very_deep_architecture_is_left_out(writer: Writer) -> None:
    deep = "; ".join(["dense width=16"] * 40)
    writer.sweep(space={"layers": {"architecture": {"dense": {"width": [16]}}, "layers": [1, 40]}})
    writer.start(0, {"layers": deep})
    writer.results(0, 0.5)
    assert "… 27 more …" in section(writer.read(), "architectures")


# Tables and text


def test_the_table_has_all_trials_and_metrics_for_sorting(writer: Writer) -> None:
    writer.sweep(space={"lr": {"float": [0.0, 1.0]}})
    for trial in range(3):
        writer.start(trial, {"lr": 0.123456789})
        metrics = {"f1": trial / 3, "note": "x"}
        put(writer.journal, "result", trial, iteration=1, value=trial / 10, seconds=1.0, metrics=metrics)
        writer.end(trial)
    report = writer.finish()
    columns = cells_of(report)
    assert list(columns) == ["trial", "state", "accuracy", "iterations", "seconds", "lr", "f1", "note"]
    assert columns["trial"] == ("text", ["00002", "00001", "00000"])
    assert columns["f1"] == ("number", [0.6667, 0.3333, 0.0])
    assert columns["lr"] == ("number", [0.1235] * 3)
    assert columns["note"] == ("text", ["x"] * 3)
    assert columns["state"] == ("state", ["completed"] * 3)
    assert data_of(report)["trials"]["top"] == [0]


def test_texts_that_repeat_are_packed_with_their_types(writer: Writer) -> None:
    writer.sweep(space={"flag": {"choice": [True, 1, "1", None, [1, 2]]}})
    for trial in range(20):
        writer.start(trial, {"flag": [True, 1, "1", None, [1, 2]][trial % 5]})
        writer.results(trial, -float(trial))
        writer.end(trial)
    report = writer.finish()
    packed = next(each for each in data_of(report)["trials"]["columns"] if each["name"] == "flag")
    assert packed["values"] == [True, 1, "1", None, "[1, 2]"]
    assert cells_of(report)["flag"][1][:6] == [True, 1, "1", None, "[1, 2]", True]


def test_decisions_are_listed_with_their_reasons_newest_first(mixed: Report) -> None:
    text = page_of(mixed).sections["decisions"]
    assert "at rung 1: 3rd of 4, value 0.3, cut-off 0.45" in text
    assert "after 1 iteration: 2nd of 3, value 0.4, cut-off 0.45" in text
    assert text.index("00003") < text.index("00001")


def test_the_winner_after_repeats_is_shown_next_to_the_claimed_best(writer: Writer) -> None:
    for_candidates = {"config": {}, "iteration": 1, "values": [0.6, 0.8], "failures": 0}
    writer.sweep()
    writer.run(0, 0.9)
    writer.run(1, 0.8)
    (writer.folder / "evaluation.json").write_text(
        json.dumps(
            {
                "metric": "accuracy",
                "mode": "max",
                "repeats": 2,
                "candidates": [
                    {**for_candidates, "trial": "00000", "claimed": 0.9, "mean": 0.7, "spread": 0.1},
                    {**for_candidates, "trial": "00001", "claimed": 0.8, "mean": 0.78, "spread": 0.01},
                ],
                "chosen": "00001",
                "test": {"metric": "test_accuracy", "values": [0.75, 0.77], "mean": 0.76, "spread": 0.014},
                "results": [],
            }
        )
    )
    report = writer.finish()
    text = renderings.html(report)
    assert "Winner after repeats: trial 00001 (not the best of the search)" in text
    assert "<dt>claimed by the search</dt><dd>0.8</dd>" in text
    assert "<dt>mean of 2 repeats</dt><dd><b>0.78</b> ± 0.01</dd>" in text
    assert "<dt>test_accuracy on test rows</dt><dd><b>0.76</b> ± 0.014</dd>" in text
    assert "tuner evaluate" not in section(report, "next")
    drawn = section(report, "evaluation")
    hints = re.findall(r'<use href="#m-(claim|dot)" x[^>]*><title>([^<]*)', drawn)
    assert hints == [
        ("claim", "claimed 0.9"),
        ("dot", "mean 0.7"),
        ("claim", "claimed 0.8"),
        ("dot", "mean 0.78"),
    ]
    assert re.findall(r'<text class="y"[^>]*>(0000.)', drawn) == ["00000", "00001"]


@pytest.mark.parametrize(
    ("reason", "present", "absent"),
    [
        (None, {"evaluate", "report"}, {"resume", "export"}),
        ("interrupted", {"resume", "evaluate"}, {"export"}),
        ("trials", {"evaluate", "report"}, {"resume", "export"}),
    ],
)
def test_next_commands_fit_the_state_of_the_sweep(
    writer: Writer, reason: str | None, present: set[str], absent: set[str]
) -> None:
    writer.sweep()
    writer.run(0, 0.5)
    report = writer.finish(reason) if reason is not None else writer.read()
    verbs = {command.command.split()[1] for command in page_data(report).commands}
    assert present <= verbs
    assert not absent & verbs
    assert all(f" {writer.folder.name}" in command.command for command in page_data(report).commands)


def test_the_next_commands_are_valid_commands(mixed: Report) -> None:
    from tuner.cli import parser

    for command in page_data(mixed).commands:
        name, *words = command.command.split(">")[0].split()
        assert name == "tuner"
        assert parser().parse_args(words).results == mixed.folder.name


def test_the_command_line_prints_the_page(mixed: Report, capsys: pytest.CaptureFixture[str]) -> None:
    from tuner.cli import main

    assert main(["report", str(mixed.folder), "--format", "html"]) == 0
    assert capsys.readouterr().out == renderings.html(mixed)


def test_errors_of_one_kind_are_shown_once(writer: Writer) -> None:
    writer.sweep()
    for trial in range(3):
        writer.run(trial, state="failed", error=ERROR)
    text = page_of(writer.finish()).sections["errors"]
    assert "3 \N{MULTIPLICATION SIGN} ValueError: loss is nan" in text


def test_hyperparameters_in_groups_are_under_their_names(writer: Writer) -> None:
    space = {
        "optimizer": {
            "choice": {
                "sgd": {
                    "lr": {"float": [0.01, 1.0], "log": True},
                    "kind": {"choice": ["a", "b"]},
                    "nesterov": True,
                },
                "adam": {"lr": {"float": [1e-5, 1e-3], "log": True}, "kind": "c"},
                "none": None,
            }
        },
        "size": {"ordinal": ["s", "m"]},
        "constraints": ["lr < 1"],
    }
    writer.sweep(space=space)
    for trial, config in enumerate(
        [
            {"optimizer": "sgd", "lr": 0.1, "kind": "a", "nesterov": True, "size": "s"},
            {"optimizer": "adam", "lr": 1e-4, "kind": "c", "size": "m"},
        ]
    ):
        writer.start(trial, config)
        writer.results(trial, 0.5)
        writer.end(trial)
    report = writer.finish()
    assert report.searched() == {
        "optimizer": {"choice": ["sgd", "adam", "none"]},
        "lr": {"float": [1e-5, 1.0], "log": True},
        "kind": {"choice": ["a", "b", "c"]},
        "size": {"ordinal": ["s", "m"]},
    }
    assert list(report.space()) == ["optimizer", "lr", "kind", "nesterov", "size"]
    text = renderings.html(report)
    assert all(f">{name}<" in text for name in ("optimizer", "lr (log)", "kind", "size"))
    assert page_data(report).constants == {"nesterov": True}


# Size


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Report:
    writer = Writer(tmp_path_factory.mktemp("large"))
    writer.sweep()
    writer.journal._connection.execute("BEGIN")  # one transaction instead of 63,000
    for trial in range(1_050):
        writer.start(trial, {**SGD, "lr": 10 ** -(trial % 40 / 10)})
        writer.results(trial, *(trial * iteration / 1e5 for iteration in range(1, 61)))
        writer.end(trial)
    writer.journal._connection.execute("COMMIT")
    report = writer.finish()
    writer.journal.close()
    return report


def test_the_page_of_a_large_sweep_stays_small_and_names_what_it_leaves_out(large: Report) -> None:
    text = renderings.html(large)
    assert len(text.encode()) < 1_000_000
    assert "600 of 1,050 curves are drawn." in text
    assert "Long curves are thinned to 33 points each." in text
    assert "The best 100 of 1,050; the CSV has all." in text
    assert len(data_of(large)["trials"]["columns"][0]["cells"]) == 1_050


def test_ten_thousand_trials_with_many_columns_make_a_page_of_at_most_3_mb(large: Report) -> None:
    metrics = {f"metric_{number}": 0.123456 for number in range(20)}
    copies = range(10_000 // len(large.trials) + 1)
    trials = [
        replace(trial, number=copy * len(large.trials) + trial.number, metrics=metrics)
        for copy in copies
        for trial in large.trials
    ]
    huge = replace(large, trials=tuple(trials[:10_000]))
    text = renderings.html(huge)
    assert len(huge.trials) == 10_000
    assert len(text.encode()) <= 3_000_000
    assert re.search(r"The best [\d,]+ of 10,000; the CSV has all.", text)


# Notebooks


def test_a_notebook_shows_the_best_the_top_trials_and_the_curves(mixed: Report) -> None:
    shown = mixed._repr_html_()
    Page(shown)
    assert "best accuracy: <b>0.9</b>, trial 00000, iteration 2 of 3" in shown
    assert "lr=0.1235 momentum=0.5" in shown
    assert shown.count("<tr") == 1 + 4
    assert 'aria-label="accuracy against iteration"' in shown
    assert "<script" not in shown
    assert len(shown) < 60_000


def test_a_notebook_does_not_wait_for_importances(writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)  # importing it would fail
    assert "best accuracy" in many(writer, 30)._repr_html_()


def test_a_notebook_shows_an_empty_sweep(writer: Writer) -> None:
    writer.sweep()
    shown = writer.read()._repr_html_()
    Page(shown)
    assert "No trial has a value of accuracy." in shown
    assert "no trials yet" in shown


def test_the_style_of_a_snippet_affects_nothing_else_in_a_notebook(mixed: Report) -> None:
    [style] = re.findall(r"<style>(.*?)</style>", mixed._repr_html_(), re.DOTALL)
    rules = re.sub(r"/\*.*?\*/", "", style, flags=re.DOTALL)
    selectors = re.findall(r"([^{}]+)\{[^{}]*\}", re.sub(r"@media[^{]*\{", "", rules))
    assert len(selectors) > 50
    for selector in re.sub(r":is\([^)]*\)", "", ",".join(selectors)).split(","):
        assert ".tuner" in selector, selector


def test_the_same_data_can_feed_another_view(mixed: Report) -> None:
    assert page_data(mixed).to_dict() == asdict(page_data(mixed))
