"""Gangs: several processes that run one trial.

The leader has rank 0. It alone talks to the driver, and it makes the members create, train, save and close
their parts of the trial together with its own.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import ray
from ray.exceptions import RayActorError
from ray.tune.result import RESULT_DUPLICATE

from tuner.errors import TrialError
from tuner.ray_internals.tune import get_session
from tuner.worker import crash_report
from tuner.worker.memory import WorkerHealth
from tuner.worker.process import cause_of
from tuner.worker.setup import Place, Results, WorkerSetup
from tuner.worker.tasks import TrainRequest
from tuner.worker.worker import Worker

T = TypeVar("T")

_SECONDS_TO_FAIL = 1.0
"""After a rank has failed, the others get this time to fail too. The first failure is the trial's error."""

_SECONDS_FOR_CAUSE = 5.0
"""This is that time as long as all failures look like consequences of another one."""

_CONSEQUENCES = ("connection closed by peer", "connection reset by peer", "broken pipe", "terminate called")
"""Texts in the errors of ranks that have lost another one, as Gloo and NCCL write them."""


class RankDied(TrialError):
    """A process of a gang died."""


class Rank(Worker):
    """A process of a gang."""

    def _leave_group(self) -> None:
        """Destroy the process group of ``torch.distributed`` that the trial has left. All ranks do so."""
        distributed = sys.modules.get("torch.distributed")
        if distributed is not None and distributed.is_available() and distributed.is_initialized():
            distributed.destroy_process_group()


class GangLeader(Rank):
    """The worker with rank 0 of a gang. It runs one trial at a time."""

    def __init__(self, setup: WorkerSetup) -> None:
        super().__init__(setup)
        self._members: list[Any] = []  # the actors with ranks 1, 2, ...
        self._runs: dict[int, dict[int, asyncio.Future[Any]]] = {}  # lane -> rank -> its running function
        self._port: socket.socket | None = None
        self._is_broken = False  # whether a rank failed, so that others may wait for it forever
        self._folder: Path | None = None
        self._followers = ThreadPoolExecutor(64, thread_name_prefix="followers")

    async def ready(
        self, shared: Sequence[ray.ObjectRef], results: Results | None = None, members: Sequence[Any] = ()
    ) -> Place:
        """Prepare for trials, and wait until the ``members`` are ready too."""
        self._folder = None if results is None else Path(results.folder)
        waiting = [_answer(member.ready.remote(shared, results)) for member in members]
        try:
            own, *others = await asyncio.gather(super().ready(shared, results), *waiting)
        except RayActorError as error:
            raise RankDied(f"a process of the gang died while it started: {self._why_died(error)}") from None
        order = by_machine([own, *others])
        self._members = [members[number - 1] for number in order[1:]]
        place: Place = replace(own, members=tuple(others[number - 1] for number in order[1:]))
        self._place = place
        return place

    async def train(
        self, lane: int, request: TrainRequest, made_with: dict[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        """Train the trial in all ranks. Raises TrialError with the first failure of any rank."""
        if made_with is not None:
            await self._create_together(lane, made_with)
        return await super().train(lane, request)

    async def call(
        self, lane: int, method: str, arguments: Sequence[Any], made_with: dict[str, Any] | None = None
    ) -> Any:
        """Call a method of the trial. All ranks restore a checkpoint, and all help a class to save one."""
        if made_with is not None:
            await self._create_together(lane, made_with)
        others: dict[int, asyncio.Future[Any]] = {}
        if method == "restore":
            others = self._ask_members("call", lane, method, arguments)
        elif method == "save" and self._is_class:
            others = self._ask_members("save", lane)
        return await self._together(super().call(lane, method, arguments), others)

    async def close(self, lane: int) -> WorkerHealth | None:
        """End the trial in all ranks. Return the health of the process that is worst off."""
        if self._is_broken:  # the thread of this process may wait for a rank that has failed
            self._end_request(lane)
            return WorkerHealth(fit=False)
        closing = self._ask_members("close", lane)
        own = await super().close(lane)
        healths = await asyncio.gather(*closing.values(), return_exceptions=True)
        self._runs.pop(lane, None)
        if any(isinstance(health, BaseException) for health in healths):
            return WorkerHealth(fit=False)
        unfit = [health for health in healths if isinstance(health, WorkerHealth) and not health.fit]
        return unfit[0] if unfit and (own is None or own.fit) else own

    async def follow(self, lane: int, number: int) -> bool:
        """Wait until the function has reported ``number`` results. Return whether the trial must end."""
        session = get_session()
        if lane not in self._trials or session is None:
            return True
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._followers, session.await_report, number)

    async def _create_together(self, lane: int, arguments: dict[str, Any]) -> None:
        places = [self._place, *self._place.members]
        own, *others = environments(places, port=self._new_port())
        me = ray.get_runtime_context().current_actor
        begun = {
            rank: _answer(member.begin.remote(lane, arguments, others[rank - 1], me))
            for rank, member in enumerate(self._members, start=1)
        }
        await self._together(self._in_thread(partial(self._create_as_leader, lane, arguments, own)), begun)

    def _create_as_leader(self, lane: int, arguments: dict[str, Any], environment: Mapping[str, str]) -> None:
        os.environ.update(environment)
        self._create(lane, arguments)
        if (error := self._create_errors.pop(lane, None)) is not None:
            raise error

    def _new_port(self) -> int:
        """Reserve a free port of this machine until the next trial. ``torch.distributed`` can bind it too."""
        if self._port is not None:
            self._port.close()
        self._port = socket.socket()
        self._port.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._port.bind(("", 0))
        return int(self._port.getsockname()[1])

    async def _start_round(self, lanes: Sequence[int]) -> dict[int, dict[str, Any] | TrialError]:
        [lane] = lanes
        if self._is_class:
            others = self._ask_members("step", lane)
        else:
            others = self._runs.get(lane) or self._runs.setdefault(lane, self._ask_members("run", lane))
        try:
            outcome = await self._together(self._run_own_round(lane), others, until=self._has_ended)
            return {lane: outcome}
        except TrialError as error:
            return {lane: error}

    async def _run_own_round(self, lane: int) -> dict[str, Any]:
        outcome = (await super()._start_round([lane]))[lane]
        if isinstance(outcome, TrialError):
            raise outcome
        return outcome

    def _has_ended(self, outcome: Mapping[str, Any]) -> bool:
        """Return whether this result of rank 0 must wait for the other ranks."""
        return self._is_class or RESULT_DUPLICATE in outcome

    def _ask_members(self, method: str, *arguments: Any) -> dict[int, asyncio.Future[Any]]:
        return {
            rank: _answer(getattr(member, method).remote(*arguments))
            for rank, member in enumerate(self._members, start=1)
        }

    async def _together(
        self,
        own: Awaitable[T],
        others: Mapping[int, asyncio.Future[Any]],
        *,
        until: Callable[[T], bool] = lambda _: True,
    ) -> T:
        """Return the result of ``own``, after that of the others if ``until(result)``.

        Raises TrialError as soon as a rank fails, even if other ranks wait for it.
        """
        main = asyncio.ensure_future(own)
        pending: set[asyncio.Future[Any]] = {main, *others.values()}
        while pending:
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            if any(each.exception() is not None for each in done):
                raise await self._first_failure({0: main, **others})
            if main.done() and not until(main.result()):
                break
        return main.result()

    async def _first_failure(self, ranks: Mapping[int, asyncio.Future[Any]]) -> TrialError:
        """Return the failure that caused the others. A death comes before the errors that it causes."""
        self._is_broken, self._is_fit = True, False
        failures: dict[int, BaseException] = {}
        for seconds in (_SECONDS_TO_FAIL, _SECONDS_FOR_CAUSE - _SECONDS_TO_FAIL):
            await asyncio.wait(ranks.values(), timeout=seconds, return_when=asyncio.ALL_COMPLETED)
            failures = {
                rank: error for rank, each in ranks.items() if each.done() and (error := each.exception())
            }
            if not all(map(_is_consequence, failures.values())):
                break
        rank = first_cause(failures)
        return self._explained(rank, failures[rank])

    def _why_died(self, error: RayActorError) -> str:
        return str(error) if self._folder is None else crash_report.read(self._folder, error)

    def _explained(self, rank: int, error: BaseException) -> TrialError:
        if rank == 0:
            return error if isinstance(error, TrialError) else TrialError(str(error))
        name = f"rank {rank} of {len(self._members) + 1}, on {self._place.members[rank - 1].node}"
        if isinstance(error, RayActorError):
            return RankDied(f"{name}: {self._why_died(error)}")
        return TrialError(f"{name}:\n{cause_of(error)}")


def by_machine(places: Sequence[Place]) -> list[int]:
    """Return the numbers of the places in the order of their ranks: machine by machine."""
    machines = list(dict.fromkeys(place.node_id for place in places))
    return sorted(range(len(places)), key=lambda number: machines.index(places[number].node_id))


def environments(places: Sequence[Place], *, port: int) -> list[dict[str, str]]:
    """Return the environment variables of each rank, as ``torchrun`` sets them.

    A rank sees the GPUs of all ranks on its machine. ``LOCAL_RANK`` is the index of the one that it may use.
    ``port``: a free port on the machine of rank 0.
    """
    machines = list(dict.fromkeys(place.node_id for place in places))
    found = []
    for rank, place in enumerate(places):
        here = [number for number, other in enumerate(places) if other.node_id == place.node_id]
        gpus = dict.fromkeys(gpu for number in here for gpu in places[number].gpus)
        found.append(
            {
                "RANK": str(rank),
                "LOCAL_RANK": str(here.index(rank)),
                "WORLD_SIZE": str(len(places)),
                "LOCAL_WORLD_SIZE": str(len(here)),
                "NODE_RANK": str(machines.index(place.node_id)),
                "GROUP_RANK": str(machines.index(place.node_id)),
                "MASTER_ADDR": places[0].node,
                "MASTER_PORT": str(port),
                **({"CUDA_VISIBLE_DEVICES": ",".join(gpus)} if gpus else {}),
            }
        )
    return found


def first_cause(failures: Mapping[int, BaseException]) -> int:
    """Return the rank whose failure caused the others: a death, or else the earliest error.

    An error that says that another rank was lost comes last.
    """
    return min(failures, key=lambda rank: _order(failures[rank]))


def _order(error: BaseException) -> tuple[bool, bool, float]:
    at = getattr(cause_of(error), "at", time.time())
    return _is_consequence(error), not isinstance(error, RayActorError), at


def _is_consequence(error: BaseException) -> bool:
    return any(text in str(error).lower() for text in _CONSEQUENCES)


def _answer(reference: ray.ObjectRef) -> asyncio.Future[Any]:
    """Return the answer of an actor as a future whose error may remain unread."""
    future = asyncio.ensure_future(_awaited(reference))
    future.add_done_callback(lambda done: done.cancelled() or done.exception())
    return future


async def _awaited(reference: ray.ObjectRef) -> Any:
    return await reference
