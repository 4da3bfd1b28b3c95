"""The display of a running sweep: the view, the terminal picture of any size, and the notebook cell."""

import dataclasses
import io
import json
import re
from html.parser import HTMLParser

import pytest
from rich.cells import cell_len
from rich.console import Console

from tests.tuner.watched import Watched
from tuner import Choice, Float, Objective
from tuner.journal.events import Action, Decision, Ended, Lost, Result
from tuner.live import WorkerCounts, cell, words
from tuner.live.terminal import Frame

HEADING = "digits: 64 trials of mlp, searcher random, scheduler asha, 2 workers"
BOTH = Objective.model_validate(
    [{"metric": "accuracy", "mode": "max"}, {"metric": "parameters", "mode": "min"}]
)


# Situations, by name


def many():
    sweep = Watched(budget={"trials": 400, "iterations": 27}, workers=WorkerCounts(4, 1, 4, 16, 64))
    for number in range(300):
        sweep.start()
        for iteration in (1, 3, 9, 27):
            if not sweep.state.trials[number].has_ended:
                sweep.report(number, iteration, (number * 37 % 101) / iteration)
    for _ in range(16):
        sweep.start()
    return sweep


def failing():
    sweep = Watched(running=12, workers=WorkerCounts(2, 0, 2, 6, 8))
    errors = [
        *["Traceback (most recent call last):\n  ...\nValueError: lr must be positive"] * 3,
        "torch.cuda.OutOfMemoryError: CUDA out of memory. " + "Tried to allocate 2.00 GiB. " * 9,
        "'loss' must be finite, got nan",
        "RuntimeError: \x1b[31mtwo\nlines: of \x00text",
    ]
    for number, error in enumerate(errors):
        sweep.tell(Ended(number, "failed", error))
    sweep.tell(Lost(8, "the process crashed: segmentation fault (SIGSEGV) at model.py:3 in train"))
    return sweep


def long_names():
    space = {
        "a_hyperparameter_of_a_name_that_is_as_long_as_the_line_of_a_terminal_" * 2: Float(0, 1),
        "名前の長いハイパーパラメータ": Choice(["値" * 60, "é" * 80]),
        "text": Choice(["line\nbreak\tand tab", "[bold]markup[/bold] " * 5]),
    }
    metric = "validation/accuracy_of_the_exponential_moving_average_of_the_weights"
    sweep = Watched(space=space, objective=Objective(metric=metric, mode="max"), running=16)
    for number in range(16):
        sweep.report(number, 1, number / 7)
    return sweep


def two_objectives():
    sweep = Watched(objective=BOTH, scheduler="fifo", running=16, workers=WorkerCounts(2, 0, 2, 16, 16))
    for number in range(12):
        sweep.report(number, 27, 0.5 + (number % 7) / 20, 100.0 + 31 * number % 97)
    return sweep


def pbt():
    sweep = Watched(
        budget={"trials": 8, "iterations": 20}, scheduler={"kind": "pbt", "interval": 2}, running=8
    )
    for number in range(8):
        sweep.report(number, 2, float(number))
    sweep.resume_all()
    return sweep


def unknown_length():
    return Watched(budget={"gpu_seconds": 100.0}, scheduler="fifo", resources={"gpu": 1}, running=3)


def stops():
    sweep = Watched(running=3)
    sweep.state.give_up("failures")
    return sweep


SITUATIONS = {
    "no trial": Watched,
    "one": lambda: Watched(running=1),
    "16 running": lambda: Watched(running=16, workers=WorkerCounts(2, 0, 2, 16, 16)),
    "300 trials": many,
    "failures": failing,
    "long names": long_names,
    "two objectives": two_objectives,
    "pbt": pbt,
    "unknown length": unknown_length,
    "stops": stops,
}
SIZES = [(80, 24), (60, 15), (200, 60), (132, 43), (40, 10), (80, 6), (20, 5), (10, 2), (3, 3), (1, 1)]


@pytest.fixture(scope="module")
def views():
    return {name: situation().view() for name, situation in SITUATIONS.items()}


def drawn(view, width, height, **options):
    """Return the lines that a console of this size shows."""
    stream = io.StringIO()
    options = {"force_terminal": True, "color_system": None, "legacy_windows": False, **options}
    Console(file=stream, width=width, height=height, **options).print(Frame(view, HEADING))
    return stream.getvalue().removesuffix("\n").split("\n")


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("name", SITUATIONS)
def test_every_line_fits_every_terminal(views, name, size):
    width, height = size
    lines = drawn(views[name], width, height)
    assert len(lines) <= max(1, height - 1)  # the last line is left to the cursor
    assert max(cell_len(line) for line in lines) <= width
    assert "..." not in "".join(lines)
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", "".join(lines))


@pytest.mark.parametrize("name", SITUATIONS)
@pytest.mark.parametrize("size", [(80, 24), (60, 15), (80, 6), (40, 4)], ids=str)
def test_the_best_value_and_the_progress_are_on_every_screen(views, name, size):
    lines = drawn(views[name], *size)
    leads = r"no result yet|loss [\d.e-]+|\d+ trials on the Pareto|validation/accuracy_of_… \d"
    assert any(re.match(rf"best +({leads})", line) for line in lines)
    assert any(re.search(r"\b0\.0 s", line) for line in lines)
    if (trials := views[name].trials) and size[1] > 4:
        assert any(re.match(rf"trials +{trials}(/\d+)? · ", line) for line in lines)


def test_rows_of_trials_are_left_out_first_and_their_number_is_shown(views):
    lines = drawn(views["16 running"], 80, 24)
    rows = [line for line in lines if re.match(r"\d{5} +0/27 ", line)]
    assert 8 <= len(rows) < 16
    assert lines[-1] == f"and {16 - len(rows)} more"
    assert len([line for line in drawn(views["16 running"], 80, 60) if re.match(r"\d{5} +0/27 ", line)]) == 16


def test_a_large_terminal_shows_every_running_trial_and_more_decisions(views):
    small, large = drawn(views["300 trials"], 80, 24), drawn(views["300 trials"], 200, 60)
    decision = re.compile(r"(decisions)? +\d{5} (stopped|completed|continues)")
    assert sum(bool(decision.match(line)) for line in small) < sum(
        bool(decision.match(line)) for line in large
    )
    assert not any("more" in line for line in large)


def test_a_configuration_is_cut_with_an_ellipsis(views):
    configs = [line for line in drawn(views["long names"], 80, 24) if line.startswith(" " * 12)]
    assert configs
    assert any(line.endswith("…") for line in configs)


def test_the_picture_of_one_objective_is_as_expected():
    sweep = Watched(running=4, workers=WorkerCounts(2, 1, 1, 4, 8))
    sweep.clock.now += 30
    for number, value in enumerate((0.5, 0.25, 0.75)):
        sweep.report(number, 1, value)
    sweep.clock.now += 30
    lines = drawn(sweep.view(), 80, 24)
    config = sweep.state.trials[1].config
    assert lines[:8] == [
        HEADING,
        "best        loss 0.25 (trial 00001, iteration 1)",
        f"            x={config['x']:.4g} momentum={config['momentum']:.4g}",
        "progress    ───────────────────────────   1 %  1 min 0 s, about 32 min 33 s left",
        "trials      4/64 · 3 running, 1 stopped",
        "iterations  3 of at most 1,728",
        "workers     1 of 2 busy · 4 of 8 lanes in use · 1 starting",
        "decisions   00002 stopped at rung 1: 3rd of 3",
    ]


def test_a_terminal_without_utf_8_gets_plain_characters(views):
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")  # strict: an error for anything else
    Console(file=stream, width=80, height=24, force_terminal=True, color_system=None).print(
        Frame(views["long names"], HEADING)
    )
    stream.flush()
    assert b"~" in raw.getvalue()


# Words


def recent_lines(sweep):
    return list(reversed(sweep.view().decisions))


def test_a_stop_at_a_rung_shows_the_rank():
    sweep = Watched(running=12)
    for number in range(12):
        sweep.report(number, 1, float(number))
    assert recent_lines(sweep)[:2] == [
        "00000 continues at rung 1: 1st of 1",
        "00001 stopped at rung 1: 2nd of 2",
    ]
    assert recent_lines(sweep)[-2:] == [
        "00010 stopped at rung 1: 11th of 11",
        "00011 stopped at rung 1: 12th of 12",
    ]


def test_pauses_and_promotions_show_the_rank():
    sweep = Watched(running=3, scheduler="asha")
    for number in range(3):
        sweep.report(number, 1, float(number))
    sweep.resume_all()
    sweep.tell(Ended(1, "stopped"))
    assert recent_lines(sweep) == [
        "00000 paused at rung 1: 1st of 1",
        "00001 paused at rung 1: 2nd of 2",
        "00002 paused at rung 1: 3rd of 3",
        "00000 promoted from rung 1: 1st of 3",
        "00001 stopped",
    ]


def test_a_copy_in_a_population_names_its_source():
    lines = recent_lines(pbt())
    assert re.fullmatch(r"00007 copies 0000[01] at rung 2: 8th of 8", lines[1])
    assert lines[2:] == [
        f"{number:05d} continues at rung 2: {rank} of 8"
        for number, rank in enumerate(("1st", "2nd", "3rd", "4th", "5th", "6th"))
    ]


def test_the_end_of_a_trial_is_shown_once_with_its_value():
    sweep = Watched(running=3, scheduler="fifo", budget={"trials": 3, "iterations": 4})
    for iteration in (1, 2, 3, 4):
        sweep.report(0, iteration, 0.5)
    sweep.tell(Result(1, 1, 0.25, 1.0, {}, done=True))
    sweep.tell(Ended(1, "completed"))
    sweep.decide(sweep.state.time_is_up(2))
    assert recent_lines(sweep) == [
        "00000 completed after 4 iterations: 0.5",
        "00001 completed",
        "00002 stopped after 0 iterations: its time (budget.trial_seconds) is up",
    ]


def test_the_resource_that_measures_trials_is_named():
    sweep = Watched(budget={"trials": 3, "seconds": 60}, scheduler={"kind": "median", "resource": "seconds"})
    sweep.decide(Decision(0, Action.CONTINUE, 1.0))
    sweep.recent.add(Decision(0, Action.STOP, 12.5, 0.5, reason="its best is worse"))
    assert recent_lines(sweep) == ["00000 stopped at seconds 12.5: its best is worse"]


@pytest.mark.parametrize(
    ("counts", "text"),
    [
        (WorkerCounts(2, 0, 1, 1, 2), "1 of 2 busy"),
        (WorkerCounts(2, 0, 1, 1, 2, 6), "1 of 2 busy · 6 processes"),
        (WorkerCounts(2, 1, 2, 7, 8), "2 of 2 busy · 7 of 8 lanes in use · 1 starting"),
        (WorkerCounts(0, 2, 0, 0, 0), "2 starting"),
        (WorkerCounts(0, 2, 0, 0, None), "2 starting"),
        (WorkerCounts(1, 1, 0, 0, None), "0 of 1 busy · lanes not measured yet · 1 starting"),
        (None, ""),
    ],
)
def test_workers_are_shown_with_their_lanes_if_they_have_several(counts, text):
    assert words.workers(counts) == text


def test_failures_are_counted_by_kind_with_the_most_recent_message():
    failures = failing().view().failures
    assert [(failure.kind, failure.count) for failure in failures] == [
        ("ValueError", 3),
        ("OutOfMemoryError", 1),
        ("'loss' must be finite, got nan", 1),
        ("lines: of text", 1),
    ]
    assert words.failure(failures[0]) == "3 ValueError: lr must be positive"
    assert words.failures(failures).startswith("6: 3 ValueError, 1 OutOfMemoryError, ")


def test_a_lost_trial_shows_why_it_is_started_again():
    line = next(line for line in recent_lines(failing()) if "again" in line)
    assert line == (
        "00008 starts again: the process crashed: segmentation fault (SIGSEGV) at model.py:3 in train"
    )


# The view


@pytest.mark.parametrize("name", SITUATIONS)
def test_a_view_holds_only_what_json_can_write(views, name):
    written = json.loads(json.dumps(dataclasses.asdict(views[name])))
    assert written["trials"] == views[name].trials
    assert len(written["running"]) == min(200, views[name].counts["running"])


def test_several_objectives_show_a_front_and_its_extremes():
    view = two_objectives().view()
    assert view.front is not None
    accuracies = [0.5 + (number % 7) / 20 for number in range(12)]
    parameters = [100.0 + 31 * number % 97 for number in range(12)]
    assert [leader.values[place] for place, leader in enumerate(view.leaders)] == [
        max(accuracies),
        min(parameters),
    ]
    assert words.best(view) == f"{view.front} trials on the Pareto front of accuracy and parameters"
    assert words.extreme(view, 1).startswith("lowest parameters 100 (trial 00000, accuracy 0.5)")
    lines = drawn(view, 80, 24)
    assert [line.split(" (")[0].strip() for line in lines[2:5:2]] == [
        "highest accuracy 0.8",
        "lowest parameters 100",
    ]
    configs = [" ".join(words.pairs(leader.config)) for leader in view.leaders]
    assert [line.strip() for line in lines[3:6:2]] == configs
    short = drawn(view, 60, 15)
    assert "lowest parameters 100" in short[3]


def test_the_front_includes_all_trials_that_have_not_failed():
    sweep = Watched(objective=BOTH, scheduler="fifo", running=4)
    for number, (accuracy, size) in enumerate([(0.9, 10.0), (0.8, 20.0), (0.5, 5.0), (0.95, 1.0)]):
        sweep.report(number, 1, accuracy, size)
    sweep.tell(Ended(0, "completed"))
    sweep.tell(Ended(3, "failed", "ValueError"))
    assert [trial.number for trial in sweep.state.front()] == [0, 2]


def test_the_share_done_is_that_of_the_nearest_limit():
    sweep = Watched(running=2, scheduler="fifo", budget={"trials": 10, "iterations": 4, "seconds": 100})
    sweep.clock.now += 20
    for iteration in (1, 2, 3, 4):
        sweep.report(0, iteration, 0.5)
    assert sweep.view().done == pytest.approx(0.2)  # by time; one of ten trials is done
    sweep.clock.now += 1000
    assert sweep.view().done == 1.0


def test_time_left_of_a_resumed_sweep_ignores_the_time_of_earlier_runs():
    sweep = Watched(running=2, scheduler="fifo", budget={"seconds": 100})
    sweep.viewer.see(sweep.state, before=70.0)
    sweep.clock.now += 10
    assert sweep.view().seconds_left == pytest.approx(20.0)
    assert sweep.view().done == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("scheduler", "done"), [("fifo", 0.25), ({"kind": "pbt", "interval": 5}, 0.25), ("asha_stop", 0.0)]
)
def test_iterations_measure_progress_if_no_trial_is_stopped_early(scheduler, done):
    sweep = Watched(running=2, scheduler=scheduler, budget={"trials": 2, "iterations": 20})
    for number in range(2):
        for iteration in range(1, 6):
            if sweep.state.trials[number].state == "running":
                sweep.report(number, iteration, 1.0)
    assert sweep.view().done == pytest.approx(done)


def test_total_iterations_determine_the_time_left():
    sweep = Watched(running=2, scheduler="fifo", budget={"total_iterations": 100, "iterations": 50})
    for iteration in range(1, 11):
        sweep.clock.now += 1
        sweep.report(0, iteration, 0.5)
    view = sweep.view()
    assert view.most_iterations == 100
    assert view.done == pytest.approx(0.1)
    assert view.seconds_left == pytest.approx(90.0)


# The cell of a notebook


class Texts(HTMLParser):
    """Collect the tags and the text of a cell."""

    def __init__(self):
        super().__init__()
        self.tags, self.open, self.text = [], [], ""

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.mark.parametrize("name", SITUATIONS)
def test_a_cell_is_well_formed_and_small_and_needs_no_script(views, name):
    html = cell.html(views[name], HEADING, ["a <note> & more"])
    parser = Texts()
    parser.feed(html)
    assert parser.open == []
    assert not {"script", "link", "img"} & set(parser.tags)
    assert "http" not in html
    assert len(html) < 20_000
    assert "a <note> & more" in parser.text


def test_a_cell_escapes_user_text():
    sweep = Watched(
        space={"<b>": Choice(["<script>alert(1)</script>", '"&']), "x": Float(0, 1)},
        objective=Objective(metric="<i>loss", mode="min"),
        running=2,
    )
    sweep.report(0, 1, 0.5)
    sweep.tell(Ended(1, "failed", "ValueError: <img src=x>"))
    html = cell.html(sweep.view(), "<u>name</u>")
    parser = Texts()
    parser.feed(html)
    assert not {"script", "b>", "i", "u", "img"} & set(parser.tags)
    assert "<u>name</u>" in parser.text
    assert "ValueError: <img src=x>" in parser.text


def test_a_cell_shows_the_most_frequent_kinds_of_failures():
    sweep = Watched(running=8)
    for number in range(8):
        sweep.tell(Ended(number, "failed", f"the process ended by os._exit({number})"))
    html = cell.html(sweep.view(), HEADING)
    assert html.count("1 the process ended by os._exit") == 10  # each once more as a title
    assert "and 3 other kinds" in html


def test_a_cell_shows_what_the_terminal_shows(views):
    parser = Texts()
    parser.feed(cell.html(views["failures"], HEADING))
    for part in (HEADING, "3 ValueError: lr must be positive", "2 of 2 busy", "00008 starts again"):
        assert part in parser.text
    parser = Texts()
    parser.feed(cell.html(views["16 running"], HEADING))
    assert "and 6 more" in parser.text
