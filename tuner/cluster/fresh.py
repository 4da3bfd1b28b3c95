"""``Fresh``: a resource request that also demands a new process."""

from __future__ import annotations

from typing import Any

from ray.air.execution.resources import ResourceRequest
from ray.tune.execution.placement_groups import PlacementGroupFactory


class Fresh(PlacementGroupFactory):
    """Requests the resources of ``like`` in a new process without other trials. It equals only itself."""

    def __init__(self, like: PlacementGroupFactory) -> None:
        head: list[dict[str, float]] = [{}] if like.head_bundle_is_empty else []
        super().__init__(head + like.bundles, strategy=like.strategy)
        self.like = like

    def __eq__(self, other: Any) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)


def is_fresh(request: ResourceRequest) -> bool:
    """Return whether a request demands a new process."""
    return isinstance(request, Fresh)
