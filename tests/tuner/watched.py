"""``Watched``: a sweep without a cluster whose events a test makes up, and the view that a user gets."""

from tests.present import present
from tuner import Budget, Float, Objective, Sweep
from tuner.journal.events import Action, Decision, Ended, Result, Started
from tuner.live import Recent, Viewer
from tuner.objective import Ending
from tuner.state import SweepState

LOSS = Objective(metric="loss", mode="min")


class Clock:
    """A clock that a test sets."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


class Watched:
    """A sweep without a cluster, observed as the driver does."""

    def __init__(self, *, running=0, workers=None, space=None, budget=None, **parts):
        budget = Budget(**(budget or {"trials": 64, "iterations": 27}))
        space = space or {"x": Float(0, 1), "momentum": Float(0, 1)}
        parts = {"objective": LOSS, "scheduler": "asha_stop", **parts}
        sweep = Sweep(trainable="toys.py:Toy", space=space, budget=budget, **parts)
        self.state, self.recent, self.clock = SweepState.begin(sweep), Recent(sweep), Clock()
        self.viewer, self.workers = Viewer(self.clock), workers
        self.viewer.see(self.state)
        for _ in range(running):
            self.start()

    def start(self):
        number = present(self.state.suggest()).trial
        self.tell(Started(number))
        return number

    def tell(self, event):
        self.recent.add(event)
        told = self.state.apply(event)
        self.viewer.see(self.state)
        return told

    def report(self, trial, iteration, *values):
        """Apply a result, and the scheduler's decision on it."""
        several = values if len(values) > 1 else ()
        result = Result(trial, iteration, values[0], float(iteration), {}, several)
        for told in self.tell(result):
            if isinstance(told, Decision):
                self.decide(told)

    def decide(self, decision):
        if decision.is_notable:
            self.recent.add(decision)
        endings: dict[Action, Ending] = {Action.STOP: "stopped", Action.COMPLETE: "completed"}
        if decision.action in endings:
            self.tell(Ended(decision.trial, endings[decision.action]))

    def resume_all(self):
        while (decision := self.state.resume()) is not None:
            self.decide(decision)
            self.tell(Started(decision.trial))

    def view(self):
        return self.viewer.view(self.state, self.recent, self.workers)
