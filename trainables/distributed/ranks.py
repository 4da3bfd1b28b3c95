"""``Ranks``: the place of this process among the processes of its trial. Does not import torch."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Ranks:
    """This process is number ``rank`` of ``world`` processes, counted from 0."""

    rank: int
    world: int
    local_rank: int
    """This process's number among those of its machine."""

    @classmethod
    def of_environment(cls, environment: Mapping[str, str] = os.environ) -> Ranks | None:
        """Read the variables that ``torch.distributed`` uses. Return ``None`` if the trial has one process.

        Raises ValueError when one of them is missing or wrong.
        """
        world = _number(environment, "WORLD_SIZE", default="1")
        if world == 1:
            return None
        missing = [name for name in _NEEDED if name not in environment]
        if missing:
            raise ValueError(
                f"{missing[0]}: missing from the environment; must be set if WORLD_SIZE is above 1, "
                f"got WORLD_SIZE={world}"
            )
        rank = _number(environment, "RANK")
        if rank >= world:
            raise ValueError(f"RANK: must be below WORLD_SIZE, got RANK={rank}, WORLD_SIZE={world}")
        return cls(rank=rank, world=world, local_rank=_number(environment, "LOCAL_RANK", default="0"))


_NEEDED = ("RANK", "MASTER_ADDR", "MASTER_PORT")


def _number(environment: Mapping[str, str], name: str, *, default: str = "") -> int:
    text = environment.get(name, default)
    lowest = 1 if name == "WORLD_SIZE" else 0
    if not text.isdecimal() or int(text) < lowest:
        raise ValueError(f"{name}: must be a whole number of at least {lowest}, got '{text}'")
    return int(text)
