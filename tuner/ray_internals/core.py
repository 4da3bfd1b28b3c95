"""Private names of Ray below Tune: the node, the state of the cluster."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import ray
import ray._private.node
from ray._private.node import Node, psutil

__all__ = ["Node", "autoscaler_config", "own_node", "own_node_class", "psutil", "resource_usage"]


def autoscaler_config() -> Any:
    """Return the autoscaler's cluster configuration, or ``None`` if the cluster has no autoscaler."""
    return ray._private.state.state.get_cluster_config()


def own_node() -> Any:
    """Return the node that this process started, or ``None`` if it joined a cluster."""
    return ray._private.worker._global_node


def resource_usage() -> bytes:
    """Return the resources that tasks and actors use and request, as a serialised Ray message."""
    from ray._private.state import state

    return bytes(state._connect_and_get_accessor().get_all_resource_usage())


@contextlib.contextmanager
def own_node_class(node_class: type[Node]) -> Iterator[None]:
    """Make ``ray.init`` build the node that it starts from this class."""
    rays = ray._private.node.Node
    ray._private.node.Node = node_class
    try:
        yield
    finally:
        ray._private.node.Node = rays
