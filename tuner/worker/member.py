"""``Member``: a process of a gang other than the leader, which tells it what to do."""

from __future__ import annotations

import asyncio
import os
import tempfile
import threading
from collections.abc import Mapping
from functools import partial
from typing import Any

from ray.exceptions import RayActorError
from ray.tune.result import RESULT_DUPLICATE

from tuner.errors import TrialError
from tuner.ray_internals.tune import get_session
from tuner.worker.gang import Rank
from tuner.worker.session import Offer, Session
from tuner.worker.tasks import Answer

_SECONDS_BETWEEN_LOOKS = 0.1


class Member(Rank):
    """A worker with a rank above 0. It runs its part of the leader's trial."""

    async def begin(
        self, lane: int, arguments: dict[str, Any], environment: Mapping[str, str], leader: Any
    ) -> None:
        """Create this rank's part of a trial. Raises TrialError if that fails."""
        await self._in_thread(partial(self._begin, lane, arguments, environment, leader))

    async def step(self, lane: int) -> None:
        """Train the part of a class for one iteration. Raises TrialError if it fails."""
        outcome = (await self._in_thread(partial(self._train_round, [lane])))[lane]
        if isinstance(outcome, TrialError):
            raise outcome

    async def run(self, lane: int) -> None:
        """Run the function to its end. Raises TrialError if it fails."""
        await self._in_thread(partial(self._start_function, lane))
        thread: threading.Thread = get_session().training_thread
        await asyncio.get_running_loop().run_in_executor(None, partial(threading.Thread.join, thread))
        await self._in_thread(partial(self._raise_error, lane))

    async def save(self, lane: int) -> None:
        """Take part in saving a checkpoint of a class. Only the leader's files are kept."""
        await self._in_thread(partial(self._save, lane))

    def _begin(
        self, lane: int, arguments: dict[str, Any], environment: Mapping[str, str], leader: Any
    ) -> None:
        os.environ.update(environment)
        self._create(lane, arguments)
        if (error := self._create_errors.pop(lane, None)) is not None:
            raise error
        if lane in self._names:
            self._names[lane] += f"-rank{environment['RANK']}"
        if not self._is_class:
            get_session().__class__ = MemberSession
            get_session().join(leader, lane)

    def _start_function(self, lane: int) -> None:
        with self._guard(lane):
            get_session().start()

    def _raise_error(self, lane: int) -> None:
        with self._guard(lane):
            if (session := get_session()) is not None:
                session._report_thread_runner_error()

    def _save(self, lane: int) -> None:
        with self._guard(lane), tempfile.TemporaryDirectory(prefix="tuner-") as folder:
            self._trials[lane].save_checkpoint(folder)


class MemberSession(Session):
    """The session of a function in a member. Its reports wait for those of the leader's function."""

    def join(self, leader: Any, lane: int) -> None:
        """Set the leader. Ray created this object with another class."""
        self._leader = leader
        self._lane = lane

    def report(self, metrics: Any, checkpoint: Any = None, *, offer: Offer | None = None) -> None:
        """Wait for the leader's report. Raises Stopped if the trial must end."""
        if RESULT_DUPLICATE not in metrics:  # not after the end of the function
            self.follow(self.reports + 1)

    def await_report(self, number: int) -> bool:
        """Wait until the leader has reported ``number`` results. Return whether the trial must end."""
        asked = self._leader.follow.remote(self._lane, number).future()
        while not self.stopping.is_set():
            try:
                must_stop = asked.result(timeout=_SECONDS_BETWEEN_LOOKS)
            except TimeoutError:
                continue
            except RayActorError:  # the leader has died, so the trial ends
                must_stop = True
            self.reports = max(self.reports, number)
            if must_stop:
                self.stopping.set()
            break
        return self.stopping.is_set()

    def ask(self, name: str, dimension: dict[str, Any]) -> Answer:
        """Refuse, since only rank 0 can ask for the value of a hyperparameter."""
        raise TrialError(f"rank {os.environ['RANK']} asks for '{name}'; only rank 0 may call trial.suggest")
