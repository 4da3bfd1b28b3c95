"""The progress display of a running sweep."""

import io
import re
import sys
import types
from typing import Any

import pytest
from rich.console import Console

from tests.present import present
from tests.tuner.journal_rows import put
from tuner import Budget, Float, Objective, Sweep
from tuner.cluster.driver import SweepDriver
from tuner.cluster.progress import Lines, Live, chosen, for_stream, printing_outcome
from tuner.journal import Journal
from tuner.live import Pace, Viewer, words
from tuner.report import Report, renderings
from tuner.state import SweepState
from tuner.worker.memory import MemoryLeak

LEAK = (
    "trials leak GPU memory: between trials a worker held 400 MB at first and 1.9 GB now; its share "
    "is 10.0 GB; this worker is replaced, and any other that leaks will be"
)
LANES = (
    "a worker's device has too little memory for all lanes: the worker continues with 4 trials at once, and "
    "other workers may have to; trials that did not fit are restarted"
)


@pytest.mark.parametrize(
    "shown",
    [Lines, lambda stream: Live(Console(file=stream, width=200, force_terminal=True))],
    ids=["lines", "live"],
)
def test_each_problem_of_the_workers_is_shown_once(shown, tmp_path):
    sweep = Sweep(
        trainable="toys.py:Toy",
        space={"x": Float(0, 1)},
        objective=Objective(metric="loss", mode="min"),
        budget=Budget(trials=1),
    )
    stream = io.StringIO()
    driver, progress = SweepDriver(SweepState.begin(sweep), Journal(tmp_path)), shown(stream)
    progress.open(sweep, tmp_path, 1)
    driver.suggest()
    for lanes in (4, 3):
        driver.leaked(
            MemoryLeak("gpu", before=400_000_000, after=1_900_000_000, share=10_000_000_000), "127.0.0.1"
        )
        driver.lost(0, "CUDA out of memory", lanes=lanes)
        progress._last_drawn = 0.0
        progress.show(driver)
    progress.close()
    assert [stream.getvalue().count(warning) for warning in (LEAK, LANES)] == [1, 1]


# The live view


class Clock:
    """A clock that a test sets."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def driving(tmp_path, *, trials=64, iterations=20, scheduler="fifo", seconds=None, running=0):
    """Return the driver of a sweep with this number of running trials."""
    sweep = Sweep(
        trainable="toys.py:Toy",
        space={f"a_long_hyperparameter_{i}": Float(0, 1) for i in range(6)},
        objective=Objective(metric="loss", mode="min"),
        budget=Budget(trials=trials, iterations=iterations, seconds=seconds),
        scheduler=scheduler,
    )
    driver = SweepDriver(SweepState.begin(sweep), Journal(tmp_path))
    for number in range(running):
        driver.suggest()
        driver.started(number, "node")
    return driver


def report(driver, number, iteration, value, *, seconds=1.0):
    metrics = {"loss": value}
    result = {"training_iteration": iteration, "time_total_s": seconds, "__resource__": iteration}
    driver.result(number, {**result, **metrics, "metrics": metrics})


def test_states_have_the_same_names_as_in_the_report(tmp_path):
    driver = driving(tmp_path, running=4)
    driver.state.trials[0].state = "paused"
    driver.state.trials[1].state = "pending"
    driver.end(2, "stopped")
    view = Viewer().view(driver.state, driver.recent)
    assert words.status(view).startswith("4/64 trials · 1 running, 1 paused, 1 pending, 1 stopped · ")


def test_time_left_does_not_count_the_start_up(tmp_path):
    clock = Clock()
    pace = Pace(clock)
    driver = driving(tmp_path, trials=10)
    clock.now += 600  # the cluster takes ten minutes to appear
    pace.see(driver.state)
    assert pace.remaining(driver.state) is None
    for number in range(2):
        driver.suggest()
        driver.started(number, "node")
    pace.see(driver.state)
    assert pace.remaining(driver.state) is None
    clock.now += 5
    for number in range(2):
        driver.end(number, "completed")
    pace.see(driver.state)
    assert pace.remaining(driver.state) == pytest.approx(20.0)
    assert pace.seconds == 605


def test_time_left_counts_running_trials_if_none_is_stopped_early(tmp_path):
    clock = Clock()
    pace = Pace(clock)
    driver = driving(tmp_path, trials=2, running=2)
    pace.see(driver.state)
    clock.now += 10
    for number in range(2):
        report(driver, number, 5, 1.0, seconds=10.0)
    pace.see(driver.state)
    assert pace.remaining(driver.state) == pytest.approx(30.0)


def test_time_left_does_not_count_the_set_up_of_a_trial(tmp_path):
    clock = Clock()
    pace = Pace(clock)
    driver = driving(tmp_path, trials=2, iterations=20, running=2)
    pace.see(driver.state)
    clock.now += 30  # one of these seconds was training
    report(driver, 0, 1, 1.0)
    pace.see(driver.state)
    assert pace.remaining(driver.state) == pytest.approx(39.0)


def test_time_left_of_a_resumed_sweep_uses_the_speed_since_then(tmp_path):
    clock = Clock()
    driver = driving(tmp_path, trials=10, running=8)
    for number in range(6):
        driver.end(number, "completed")
    pace = Pace(clock)
    pace.see(driver.state)
    clock.now += 10
    driver.end(6, "completed")
    pace.see(driver.state)
    assert pace.remaining(driver.state) == pytest.approx(30.0)


def test_time_left_is_at_most_the_time_budget(tmp_path):
    clock = Clock()
    pace = Pace(clock)
    driver = driving(tmp_path, trials=None, seconds=60)
    clock.now += 30
    pace.see(driver.state)
    clock.now += 10
    assert pace.remaining(driver.state) == pytest.approx(50.0)


def test_plain_lines_show_the_opening_and_the_best_without_control_characters(tmp_path):
    stream = io.StringIO()
    driver, lines = driving(tmp_path, running=2), Lines(stream)
    lines.open(driver.sweep, tmp_path, 2)
    for iteration, value in enumerate((0.5, 0.25, 0.75), start=1):
        report(driver, 0, iteration, value)
        lines._last_drawn = 0.0
        lines.show(driver)
    lines.close()
    opening, *told = stream.getvalue().splitlines()
    assert opening == (
        f"64 trials of toys.py:Toy, searcher random, scheduler fifo, 2 workers; results in {tmp_path}"
    )
    assert [re.findall(r"^2/64 trials · 2 running · .*; best loss (\S+) \(", line) for line in told] == [
        ["0.5"],
        ["0.25"],
        ["0.25"],
    ]
    assert not re.search(r"[\x00-\x09\x0b-\x1f]", stream.getvalue())


class Terminal(io.StringIO):
    """A stream that claims to be a terminal."""

    encoding = "utf-8"

    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("stream", "term", "kind"),
    [
        (io.StringIO(), "xterm", Lines),
        (Terminal(), "xterm", Live),
        (Terminal(), "dumb", Lines),  # for example an editor's shell
    ],
)
def test_only_a_terminal_with_a_movable_cursor_gets_the_picture(stream, term, kind, monkeypatch):
    monkeypatch.setenv("TERM", term)
    assert isinstance(for_stream(stream), kind)


@pytest.fixture
def live(tmp_path, monkeypatch):
    """Return a live picture in a terminal of 80 x 24, with 16 running trials."""
    monkeypatch.setenv("TERM", "xterm-256color")
    stream = Terminal()
    console = Console(file=stream, width=80, height=24, force_terminal=True, color_system=None)
    live, driver = Live(console), driving(tmp_path, running=16)
    live.open(driver.sweep, tmp_path, 2)

    def show():
        stream.seek(0)
        stream.truncate()
        live._last_drawn = 0.0
        live.show(driver)
        return stream.getvalue()

    yield live, driver, console, show
    live.close()


def test_a_resized_terminal_is_cleared_and_redrawn_at_its_new_size(live):
    _, driver, console, show = live
    driver.notes.append("a warning")
    assert "\x1b[2J" not in show()
    console.size = 60, 15
    shown = show()
    after = shown.partition("\x1b[2J")[2]
    assert "a warning" in after  # this line stays above the picture
    picture = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", after.rpartition("a warning")[2]).split("\n")
    lines = [line.rpartition("\r")[2] for line in picture if line.strip()]
    assert max(map(len, lines)) <= 60
    assert "and 10 more" in lines[-1]
    assert "\x1b[2J" not in show()


def test_the_picture_leaves_the_screen_at_the_end(live):
    progress, _, console, show = live
    drawn = show()
    lines = drawn.count("\n")
    progress.close()
    closing = console.file.getvalue().removeprefix(drawn)
    assert closing.count("\x1b[1A\x1b[2K") >= lines
    assert "trials" not in closing


def test_warnings_appear_above_the_picture(tmp_path):
    sweep = Sweep(
        trainable="toys.py:Toy",
        space={"x": Float(0, 1, points=3)},
        objective=Objective(metric="loss", mode="min"),
        budget=Budget(trials=10),
        searcher="grid",
    )
    told = sweep.unequal_grid()
    assert told is not None
    stream = Terminal()
    progress = Live(Console(file=stream, width=80, height=24, force_terminal=True, color_system=None))
    progress.open(sweep, tmp_path, 2)
    progress.close()
    assert told in stream.getvalue().replace("\n", " ")


def test_progress_can_be_off_or_an_object_of_the_user():
    own = Lines(io.StringIO())
    assert chosen(None) is None
    assert chosen(False) is None
    assert chosen(own) is own
    assert isinstance(chosen(True), Lines)  # stderr is no terminal in tests


def test_a_notebook_has_one_output_that_is_updated_in_place(tmp_path, monkeypatch):
    shown = []

    class WorkerHandle:
        def update(self, content):
            shown.append(content.data)

    def display(content, display_id):
        shown.append(content.data)
        return WorkerHandle()

    ipython: Any = types.ModuleType("IPython")
    ipython.display = types.SimpleNamespace(
        display=display, HTML=lambda text: types.SimpleNamespace(data=text)
    )
    ipython.get_ipython = lambda: types.SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", ipython.display)
    driver = driving(tmp_path, running=2)
    report(driver, 0, 3, 0.25)
    progress = chosen(True)
    present(progress).open(driver.sweep, tmp_path, 2)
    driver.notes.append("a note <b>")
    present(progress).show(driver)
    present(progress).close()
    assert "64 trials of toys.py:Toy" in shown[0]
    assert "a note &lt;b&gt;" in shown[-1]
    assert "loss 0.25 (trial 00000, iteration 3)" in shown[-1]
    assert "\x1b" not in shown[-1]


def test_the_outcome_is_printed_after_the_default_display_only(capsys, tmp_path):
    assert printing_outcome(False) is None
    assert printing_outcome(None) is None
    assert printing_outcome(Lines()) is None
    journal = Journal(tmp_path)
    sweep = {"name": "s", "space": {}, "objective": {"metric": "a", "mode": "max"}}
    put(journal, "sweep", sweep=sweep)
    put(journal, "finished", reason="trials")
    journal.close()
    print_outcome = printing_outcome(True)
    assert print_outcome is not None
    print_outcome(Report.read(tmp_path))
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == renderings.summary(Report.read(tmp_path))
