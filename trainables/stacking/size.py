"""Measure on a few batches how many models to train as one, or find why they cannot be."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple

import numpy as np
import torch

from trainables.stacking import stack
from trainables.stacking.errors import CannotStack, is_out_of_memory
from trainables.stacking.record import StackingRecord
from trainables.stacking.signature import Signature, signature
from trainables.training import loop
from trainables.training.loop import Learner


def fitting(learners: Sequence[Learner]) -> int:
    """Return how many learners can be stacked with at least one other."""
    return sum(len(group) for group in _groups(learners)[0] if len(group) > 1)


def why_alone(learners: Sequence[Learner], record: StackingRecord) -> str | None:
    """Try on a few batches whether such learners can be stacked. Return why not, or ``None`` if they can."""
    groups, reasons = _groups(learners)
    if not groups:
        return reasons[0]
    largest = max(groups, key=len)
    if len(largest) == 1:
        names = [field.replace("_", " ") for field in Signature._fields]
        parts_by_name = zip(*(signature(group[0]) for group in groups), strict=True)
        unlike = [
            name
            for name, parts in zip(names, parts_by_name, strict=True)
            if len(set(parts)) == len(groups) > 1
        ]
        what = " or ".join(unlike) or f"{', '.join(names[:-1])} and {names[-1]}"
        return f"no two of {len(learners)} sampled trials have the same {what}"
    try:
        stack.advance(_copies(_small(copy.copy(largest[0])), 2), record)
    except CannotStack as error:
        return str(error)
    return None


def best_size(
    learners: Sequence[Learner], record: StackingRecord, *, most: int, memory: float | None = None
) -> int:
    """Return the best number of such learners to train at once: 1, or a power of 2 up to ``most``.

    The search times a few batches with 1, 4, 16, ... learners while that pays, which takes as long as some
    epochs. It returns the smallest number within 5% of the best throughput that needs at most ``memory``
    bytes of the device (``None``: no limit). If learners differ in shape, only the share of equal ones
    counts. The learners are not usable afterwards.
    """
    groups, _ = _groups(learners)
    if not groups:
        return 1
    # The probability that two random learners match.
    equal = sum(len(group) ** 2 for group in groups) / len(learners) ** 2
    sample = _small(max(groups, key=len)[0])
    alone = _measure(sample, 1, record, memory=memory)
    taken, size, lane = {1: alone.seconds}, 1, alone.bytes_each
    while (size := min(_STEP * size, _fitting_into(memory, lane, sample.device, most=most))) not in taken:
        stacked = max(1, round(1 + (size - 1) * equal))
        try:
            found = _measure(sample, stacked, record, memory=memory) if stacked > 1 else alone
        except CannotStack:
            break
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            break
        taken[size], lane = found.seconds * size / stacked, found.bytes_each
        if taken[size] / size > min(each / number for number, each in taken.items()):
            break
    most = _fitting_into(memory, lane, sample.device, most=most)
    throughputs = {size: rate for size, rate in _throughputs(taken).items() if size <= most}
    best = max(throughputs.values())
    worthwhile = best >= _WORTHWHILE * throughputs[1]
    return min(n for n, rate in throughputs.items() if rate >= 0.95 * best) if worthwhile else 1


_WORTHWHILE = 1.2
"""Smallest speed-up for more trials at once. Less is within the noise of the measurement."""

_MEASURED_BATCHES = 2
_STEP = 4

_SECONDS_PER_ROUND = 0.002
"""The overhead of a round in the worker and in the driver."""


class _Measured(NamedTuple):
    seconds: float
    """Time of a round of all learners."""

    bytes_each: float
    """Memory of an accelerator per learner."""


def _measure(sample: Learner, number: int, record: StackingRecord, *, memory: float | None) -> _Measured:
    """Measure a round of ``number`` copies. Raises torch.OutOfMemoryError when they do not fit."""
    device, before = sample.device, 0
    if memory is not None:
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)  # shared rows, and the memory of other objects
    copies = _copies(sample, number)

    def advance() -> None:
        if number == 1:
            loop.advance(copies[0])
        elif None in stack.advance(copies, record):
            raise torch.OutOfMemoryError(f"{device} has no memory for one of these models as a stack of one")

    seconds = _seconds(advance)
    peak = 0 if memory is None else torch.cuda.max_memory_allocated(device)
    return _Measured(seconds, (peak - before) / number)


def _fitting_into(memory: float | None, each: float, device: torch.device, *, most: int) -> int:
    """Return the largest power of 2 up to ``most`` that fits into the memory."""
    if memory is not None:
        room = memory - torch.cuda.memory_allocated(device)
        most = min(most, max(1, int(room / max(1, each))))
    return 1 << (most.bit_length() - 1)


def _throughputs(taken: dict[int, float]) -> dict[int, float]:
    """Return learners per second for each power of 2, with times interpolated between measured numbers."""
    sizes = [1 << exponent for exponent in range(max(taken).bit_length())]
    seconds = np.interp(sizes, [*taken], [*taken.values()])
    return {size: size / each for size, each in zip(sizes, seconds.tolist(), strict=True)}


def _groups(learners: Sequence[Learner]) -> tuple[list[list[Learner]], list[str]]:
    """Return the learners grouped by signature, and the reasons why others can never be stacked."""
    groups: dict[Hashable, list[Learner]] = {}
    reasons = []
    for learner in learners:
        try:
            groups.setdefault(signature(learner), []).append(learner)
        except CannotStack as error:
            reasons.append(str(error))
    return list(groups.values()), reasons


def _copies(learner: Learner, number: int) -> list[Learner]:
    # A copy of the data would be another data set. A copy of a slice would copy all the data.
    data = (learner.training, learner.validation)
    return [copy.deepcopy(learner, {id(part): part for part in data}) for _ in range(number)]


def _small(learner: Learner) -> Learner:
    """Move the learner to its device, and keep only a few batches of its data."""
    learner.network.to(learner.device)
    batch = learner.config.batch_size
    (features, targets), (others, wanted) = learner.training, learner.validation
    rows = _MEASURED_BATCHES * batch
    learner.training, learner.validation = (features[:rows], targets[:rows]), (others[:batch], wanted[:batch])
    return learner


def _seconds(function: Callable[[], object]) -> float:
    """Return the time of a round: the faster of two runs after a warm-up run, plus overhead."""
    times = []
    for _ in range(3):
        began = time.perf_counter()
        function()
        times.append(time.perf_counter() - began)
    return min(times[1:]) + _SECONDS_PER_ROUND
