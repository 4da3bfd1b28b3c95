"""States of a network and its optimizer whose tensors are divided among processes, and the same in one piece.

A checkpoint holds whole tensors, so it does not depend on the number of processes.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer


def whole(state: Any) -> Any:
    """Return a state with whole tensors on the CPU in place of divided ones. All processes call this."""
    if _is_divided(state):
        tensor: Tensor = state.full_tensor()
        return tensor.cpu()
    if isinstance(state, Mapping):
        filled: Any = copy.copy(state)  # torch keeps versions of modules as an attribute of the mapping
        filled.update({key: whole(value) for key, value in state.items()})
        return filled
    return [whole(value) for value in state] if isinstance(state, list) else state


def divided(state: Mapping[str, Any], network: nn.Module, optimizer: Optimizer) -> dict[str, Any]:
    """Return the states of ``model`` and ``optimizer`` with divided tensors where theirs are divided."""
    like = network.state_dict()
    model = copy.copy(state["model"])
    model.update({name: _divide(value, like.get(name)) for name, value in model.items()})
    parameters = [each for group in optimizer.param_groups for each in group["params"]]
    moments = {
        number: {name: _divide(value, parameters[number]) for name, value in values.items()}
        for number, values in state["optimizer"]["state"].items()
        if number < len(parameters)
    }
    return {**state, "model": model, "optimizer": {**state["optimizer"], "state": moments}}


def _divide(value: Any, like: Any) -> Any:
    if not _is_divided(like) or not isinstance(value, Tensor) or value.shape != like.shape:
        return value
    from torch.distributed.tensor import distribute_tensor

    # Every process has read the same file, so none needs to send its part.
    value = value.to(like.device)
    return distribute_tensor(value, like.device_mesh, like.placements, src_data_rank=None)


def _is_divided(value: Any) -> bool:
    """Return whether a value is a ``DTensor``, without an import of its package, which takes long."""
    return isinstance(value, Tensor) and hasattr(value, "full_tensor")
