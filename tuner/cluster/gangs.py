"""Gangs in the driver: ``Gang`` requests the processes of one trial, and ``start_gang`` starts them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ray
from ray.air.execution.resources import AcquiredResources, ResourceRequest
from ray.tune.execution.placement_groups import PlacementGroupFactory

from tuner.cluster.fresh import Fresh
from tuner.cluster.lanes import WorkerHandle
from tuner.resources import Resources
from tuner.worker.gang import GangLeader
from tuner.worker.member import Member
from tuner.worker.setup import Place, Results


class Gang(PlacementGroupFactory):
    """Requests all processes of a trial. None of them starts before all have room."""

    def __init__(self, resources: Resources) -> None:
        super().__init__([resources.bundle] * resources.processes, strategy=resources.strategy)
        self.processes = resources.processes


def size_of_gang(request: ResourceRequest) -> int | None:
    """Return the number of processes if the request is for a gang, else ``None``."""
    wanted = request.like if isinstance(request, Fresh) else request
    return wanted.processes if isinstance(wanted, Gang) else None


class GangHandle(WorkerHandle):
    """A gang as the driver sees it. ``actor`` is its leader."""

    def __init__(self, leader: Any, members: Sequence[Any]) -> None:
        super().__init__(leader)
        self._members = members

    @property
    def actors(self) -> list[Any]:
        """The actors of all processes of the gang."""
        return [self.actor, *self._members]

    def ranks(self) -> list[dict[str, Any]]:
        place: Place = ray.get(self._place)
        return [{"node": each.node, "gpus": list(each.gpus)} for each in (place, *place.members)]

    def get_ready(self, shared: Sequence[ray.ObjectRef], results: Results | None) -> None:
        """Prepare all processes for trials that use ``shared`` data and save to ``results``."""
        self._results = results
        self._place = self.actor.ready.remote(shared, results, self._members)
        self.awaited = self._place


def start_gang(group: AcquiredResources, size: int, setup: ray.ObjectRef) -> GangHandle:
    """Start a process in each bundle of a group."""
    classes = [ray.remote(GangLeader), *[ray.remote(Member)] * (size - 1)]
    leader, *members = group.annotate_remote_entities(classes)
    return GangHandle(leader.remote(setup), [member.remote(setup) for member in members])
