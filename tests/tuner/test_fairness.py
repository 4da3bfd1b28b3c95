"""Trials of different sizes on a cluster of twelve GPUs: none waits long, and gaps are filled."""

from __future__ import annotations

import heapq
import random
from statistics import median
from typing import Any, cast

import pytest
from ray.tune import PlacementGroupFactory

from tests.tuner.test_groups import Clock, Processes, Ray
from tuner.cluster.groups import PlacementGroups

GPUS = 12
SIZES = (1, 2, 4, 6)


class Gpus(Ray):
    """Twelve GPUs. A group that fits is placed, the oldest one first; a later one may precede it."""

    kind, amount = "GPU", float(GPUS)


def simulate(seed: int, *, trials: int = 200) -> tuple[list[float], list[float], float]:
    """Run trials of random sizes and durations. Return their waiting times, durations, and the GPUs' use."""
    draw = random.Random(seed)
    clock, processes = Clock(), Processes()
    total = {"GPU": float(GPUS)}
    parts: Any = {"apart": False, "total": lambda: total, "clock": clock}
    groups = PlacementGroups(cast(Any, processes), Gpus(), most=GPUS, **parts)
    sizes = [draw.choice(SIZES) for _ in range(trials)]
    durations = [draw.uniform(1.0, 3.0) for _ in range(trials)]
    running: list[tuple[float, int, Any]] = []
    waiting: list[tuple[int, PlacementGroupFactory, float]] = []
    waits: list[float] = []
    added = 0
    while added < trials or waiting or running:
        clock.now += 0.05
        while running and running[0][0] <= clock.now:
            _, _, lease = heapq.heappop(running)
            groups.free_resources(lease)
        groups.grow()
        while added < trials and groups.free - len(waiting) > 0:
            request = PlacementGroupFactory([{"GPU": 1}] * sizes[added])
            waiting.append((added, request, clock.now))
            groups.request_resources(request)
            added += 1
        for number, request, since in list(waiting):
            if groups.has_resources_ready(request):
                lease = cast(Any, groups.acquire_resources(request))
                lease.open({})
                waiting.remove((number, request, since))
                waits.append(clock.now - since)
                heapq.heappush(running, (clock.now + durations[number], number, lease))
    used = sum(size * duration for size, duration in zip(sizes, durations, strict=True))
    return waits, durations, used / (GPUS * clock.now)


@pytest.mark.parametrize("seed", range(5))
def test_no_trial_waits_longer_than_three_usual_runs_and_the_gpus_are_used(seed):
    waits, durations, use = simulate(seed)
    assert len(waits) == 200
    assert max(waits) <= 3 * median(durations)
    assert use >= 0.75
