"""Workers for trials that hold several bundles of resources, through Ray's placement groups.

Each such trial has a placement group and a worker process of its own, in the group's first bundle; what the
trial starts itself is placed into the group.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import ray
from ray.air.execution.resources import (
    AcquiredResources,
    PlacementGroupResourceManager,
    ResourceManager,
    ResourceRequest,
)

from tuner.engine.recipe import Recipe
from tuner.engine.worker import Worker
from tuner.engine.workers import Handle, Lane


class _Lease(AcquiredResources):
    """A placement group that is there, and the process of the trial that has it."""

    def __init__(self, group: Any, make: Callable[[Any], Handle]) -> None:
        super().__init__(resource_request=group.resource_request)
        self.group = group
        self._make = make
        self.worker: Handle | None = None

    def open(self, arguments: dict[str, Any]) -> Lane:
        """A worker in the group, and the trial that is made with these arguments in it."""
        self.worker = self._make(self.group)
        return Lane(self.worker, arguments)


class PlacementGroups(ResourceManager):
    """What a ``WorkerPool`` is for trials that share processes, for trials that hold several bundles."""

    def __init__(self, recipe: Recipe, *, most: int) -> None:
        self._recipe = ray.put(recipe)
        self._shared: Sequence[ray.ObjectRef] = ()
        self._actor = ray.remote(Worker)
        self._most = most
        self._groups = PlacementGroupResourceManager()
        self._leases: list[_Lease] = []

    @property
    def free(self) -> int:
        """How many more trials may be asked for; those that the cluster has no room for wait for it."""
        return self._most - len(self._leases)

    @property
    def gpus(self) -> float:
        """GPUs that trials hold."""
        held = (lease.resource_request.required_resources.get("GPU", 0) for lease in self._leases)
        return float(sum(held))

    def share(self, shared: Sequence[ray.ObjectRef]) -> None:
        """What all trials will share, if anything."""
        self._shared = shared

    def grow(self) -> None:
        """Nothing: Ray sees the demand in the groups that wait."""

    def suspect(self) -> None:
        """Nothing: each trial has a process of its own."""

    def request_resources(self, resource_request: ResourceRequest) -> None:
        self._groups.request_resources(resource_request)

    def cancel_resource_request(self, resource_request: ResourceRequest) -> None:
        self._groups.cancel_resource_request(resource_request)

    def has_resources_ready(self, resource_request: ResourceRequest) -> bool:
        return bool(self._groups.has_resources_ready(resource_request))

    def acquire_resources(self, resource_request: ResourceRequest) -> AcquiredResources | None:
        group = self._groups.acquire_resources(resource_request)
        if group is None:
            return None
        self._leases.append(_Lease(group, self._start))
        return self._leases[-1]

    def free_resources(self, acquired_resource: _Lease) -> None:
        if acquired_resource in self._leases:
            self.kill(acquired_resource)
            self._leases.remove(acquired_resource)
            self._groups.free_resources(acquired_resource.group)

    def get_resource_futures(self) -> list[ray.ObjectRef]:
        futures: list[ray.ObjectRef] = self._groups.get_resource_futures()
        return futures

    def update_state(self) -> None:
        self._groups.update_state()

    def kill(self, lease: _Lease) -> None:
        """End the trial's process whatever it does."""
        if lease.worker is not None:
            ray.kill(lease.worker.actor)

    def clear(self) -> None:
        """Leave no worker and no group behind."""
        for lease in self._leases:
            self.kill(lease)
        self._leases = []
        self._groups.clear()

    def _start(self, group: Any) -> Handle:
        [actor] = group.annotate_remote_entities([self._actor])
        worker = Handle(actor.remote(self._recipe))
        worker.get_ready(self._shared)
        return worker
