"""What a trial is to Ray: a request of resources, which may ask for a process that no trial has had."""

from __future__ import annotations

from typing import Any

from ray.air.execution.resources import ResourceRequest
from ray.tune.execution.placement_groups import PlacementGroupFactory


class Fresh(PlacementGroupFactory):
    """As ``like``, but in a fresh process without other trials; equal to nothing else."""

    def __init__(self, like: PlacementGroupFactory) -> None:
        head: list[dict[str, float]] = [{}] if like.head_bundle_is_empty else []
        super().__init__(head + like.bundles, strategy=like.strategy)
        self.like = like

    def __eq__(self, other: Any) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)


def is_fresh(request: ResourceRequest) -> bool:
    """Whether it asks for a fresh process."""
    return isinstance(request, Fresh)
