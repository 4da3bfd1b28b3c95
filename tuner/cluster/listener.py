"""``Listener``: tells the user about trials that do not report, and about resources that they wait for."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tuner.cluster import connection
from tuner.cluster.silence import Silence
from tuner.report import phrases

if TYPE_CHECKING:
    from tuner.cluster.driver import SweepDriver
    from tuner.cluster.lanes import Pool

_SECONDS_BETWEEN_CHECKS = 2.0

_SECONDS_TO_STARVE = 15.0
"""Trials wait for resources if none reports for this time. Ray starts a task within 2 s if there is room."""


class Listener:
    """Checks the running trials and adds its findings to the driver's notes."""

    def __init__(self, driver: SweepDriver, pool: Pool) -> None:
        self._driver = driver
        self._pool = pool
        self._silence = Silence()
        self.started, self.heard = self._silence.started, self._silence.heard
        self._checked = time.monotonic()
        self._is_starved = False

    def listen(self, running: set[int]) -> None:
        """Check the running trials every few seconds."""
        if time.monotonic() - self._checked < _SECONDS_BETWEEN_CHECKS:
            return
        self._checked = time.monotonic()
        if self._driver.sweep.budget.silence is None:
            for number, seconds in self._silence.to_mention(running):
                what = f"no result for {phrases.duration(seconds)}; budget.silence ends trials that hang"
                self._driver.notes.append(f"trial {number:05d}: {what}")
        if self._is_starved or self._pool.is_starting or self._silence.seconds(running) < _SECONDS_TO_STARVE:
            return
        if tasks := connection.waiting():
            self._is_starved = True
            needs = " or ".join(", ".join(f"{n:g} {kind}" for kind, n in each.items()) for each in tasks)
            self._driver.notes.append(
                f"trials wait for their own tasks or actors, which request {needs}, but the workers hold all "
                "resources; reserve some with ray.tune.with_resources, let tasks request none (num_cpus=0), "
                "or run fewer trials at once (budget.concurrent)"
            )
