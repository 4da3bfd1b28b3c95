"""Train several models of one shape as one stacked model, each lane as if alone.

``advance`` trains learners with equal signatures for one epoch. Each epoch forms a new group, so lanes can
join and leave in between. Each learner keeps its own network and optimizer. The stack reads them at the start
of the epoch and writes them at its end. Needs torch, but no Ray.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor

from trainables.layers import dropout
from trainables.stacking import forward as stacked_forward
from trainables.stacking.errors import CannotStack, is_out_of_memory
from trainables.stacking.optimizers import StackedOptimizer
from trainables.stacking.record import StackingRecord
from trainables.stacking.signature import signature
from trainables.training.gradients import GradientRules
from trainables.training.loop import (
    EVALUATION_ROWS,
    Learner,
    augmentation_of,
    conclude,
    correct,
    scores,
    squared_errors,
)
from trainables.training.loss import TrainingLoss, losses


def fusion_key(learner: Learner, record: StackingRecord) -> Hashable | None:
    """Return a key, or ``None`` if the learner trains alone. Learners with equal keys can train as one."""
    try:
        key = signature(learner)
    except CannotStack:
        return None
    return None if key.kind in record.unstackable else key


def advance_together(learners: Sequence[Learner], record: StackingRecord) -> list[dict[str, float] | None]:
    """Train learners with equal fusion keys for one epoch. The results are ``None`` if they cannot stack."""
    try:
        return advance(learners, record)
    except CannotStack as error:
        record.unstackable[signature(learners[0]).kind] = str(error)
        return [None] * len(learners)


def advance(learners: Sequence[Learner], record: StackingRecord) -> list[dict[str, float] | None]:
    """Train learners with equal signatures for one epoch and evaluate them, as ``loop.advance`` does for one.

    If the device's memory is too small, half as many train at a time, also in later epochs. A learner that
    does not even fit as a stack of one is unchanged, and its result is ``None``. Raises CannotStack when the
    model cannot be vectorised; all learners are then unchanged.
    """
    began = time.perf_counter()
    states = [learner.streams.state_dict() for learner in learners]
    try:
        _refuse_changes(learners[0], record)
        outcomes = _in_groups(learners, [learner.order() for learner in learners], record)
    except CannotStack:
        for learner, state in zip(learners, states, strict=True):
            learner.streams.load_state_dict(state)
        raise
    seconds = (time.perf_counter() - began) / len(learners)
    results: list[dict[str, float] | None] = []
    for learner, state, found in zip(learners, states, outcomes, strict=True):
        if found is None:
            learner.streams.load_state_dict(state)
        results.append(None if found is None else conclude(learner, found, seconds=seconds))
    return results


def _in_groups(
    learners: Sequence[Learner], orders: Sequence[Tensor], record: StackingRecord
) -> list[dict[str, float] | None]:
    """Train as many at a time as fit into memory. Halve the number when it is too large."""
    kind = signature(learners[0]).kind
    results: list[dict[str, float] | None] = []
    while remaining := len(learners) - len(results):
        size = min(remaining, record.held.get(kind, remaining))
        group = slice(len(results), len(results) + size)
        try:
            results += _together(learners[group], orders[group])
            continue
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            record.held[kind] = max(1, size // 2)
        torch.cuda.empty_cache()  # outside `except`: the error keeps the failed attempt's memory
        if size == 1:
            results.append(None)
    return results


def _together(learners: Sequence[Learner], orders: Sequence[Tensor]) -> list[dict[str, float]]:
    first = learners[0]
    networks = [learner.network for learner in learners]
    parameters_of: list[dict[str, Tensor]] = [dict(network.named_parameters()) for network in networks]
    buffers_of = [dict(network.named_buffers()) for network in networks]
    stacked, buffers = _stack(parameters_of), _stack(buffers_of)
    trained = {name: tensor for name, tensor in stacked.items() if tensor.requires_grad}
    fixed = {name: tensor for name, tensor in stacked.items() if name not in trained}
    own = [[parameters[name] for name in trained] for parameters in parameters_of]
    optimizer = StackedOptimizer(
        [(learner.optimizer, mine, learner.config) for learner, mine in zip(learners, own, strict=True)],
        list(trained.values()),
    )
    losses, norms = _train(learners, orders, {**trained, **fixed}, buffers, trained, optimizer)
    with torch.inference_mode():
        total_loss, total_score, more = _evaluate(first, {**trained, **fixed}, buffers)
    optimizer.give_back()  # first, since it needs memory: if it fails, nothing has changed
    _give_back(trained, parameters_of)
    _give_back(buffers, buffers_of)
    rows = len(first.training[1])
    return [
        {"train_loss": train_loss / rows, **scores(learner, loss, score), **others, "gradient_norm": norm}
        for learner, train_loss, loss, score, others, norm in zip(
            learners,
            losses.tolist(),
            total_loss.tolist(),
            total_score.tolist(),
            more,
            norms.tolist(),
            strict=True,
        )
    ]


def _refuse_changes(learner: Learner, record: StackingRecord) -> None:
    """Raise CannotStack if a forward pass changes its model, except for changes of buffers in place.

    ``functional_call`` drops assignments, and a changed attribute would belong to one lane only.
    """
    network = learner.network
    if all(type(module).__module__.startswith(_NO_SURPRISES) for module in network.modules()):
        return
    before = signature(learner)
    if before.model in record.harmless:
        return
    state = learner.streams.state_dict()
    try:
        with _vectorising(), learner.streams.borrowed(), torch.no_grad():
            tried = copy.deepcopy(network).train()
            buffers = dict(tried.named_buffers())
            tried(learner.training[0][: learner.config.batch_size].to(learner.device, copy=True))
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        return  # the training will fail and report it
    finally:
        learner.streams.load_state_dict(state)
    for name, buffer in tried.named_buffers():
        if buffer is not buffers.get(name):
            raise CannotStack(f"the forward pass replaces buffer '{name}'; change it in place")
    if signature(replace(learner, network=tried)).layers != before.layers:
        raise CannotStack("the forward pass changes an attribute of its module")
    record.harmless.add(before.model)


_NO_SURPRISES = ("torch.nn.", "trainables.")
"""Packages whose modules change only their buffers, in place."""


def _stack(tensors: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Stack the lanes' tensors by name, each to lanes x its shape."""
    return {
        name: torch.stack([lane[name].detach() for lane in tensors]).requires_grad_(value.requires_grad)
        for name, value in tensors[0].items()
    }


@torch.no_grad()
def _give_back(stacked: dict[str, Tensor], tensors: Sequence[dict[str, Tensor]]) -> None:
    """Write stacked tensors into each lane's own tensors."""
    for name, tensor in stacked.items():
        # One call for all lanes, since a copy for each lane would keep a GPU waiting. One call per name,
        # since torch copies tensors of mixed types or layouts one by one.
        torch._foreach_copy_([lane[name] for lane in tensors], tensor.unbind())


def _train(
    learners: Sequence[Learner],
    orders: Sequence[Tensor],
    parameters: dict[str, Tensor],
    buffers: dict[str, Tensor],
    trained: dict[str, Tensor],
    optimizer: StackedOptimizer,
) -> tuple[Tensor, Tensor]:
    """Train one epoch. Returns the sums of the losses and the norms of the last gradients, one per lane."""
    first = learners[0]
    features, targets = first.training
    model = first.network.train()
    names = [name for name, _ in dropout.dropouts(model)]
    # Copy everything that the epoch needs to the device before its first batch, for all lanes at once: each
    # copy waits for the device.
    keys = torch.stack([learner.dropout_keys() for learner in learners]).to(first.device) if names else None
    order = torch.stack(list(orders)).to(features.device)  # lanes x rows

    forward = stacked_forward.forward(model)
    configs = [learner.config for learner in learners]
    augmentation = augmentation_of(learners, stacked=True)
    rules = GradientRules(configs, stacked=True, like=first.like)
    loss = TrainingLoss(first.loss, configs, stacked=True, like=first.like)
    changes = first.batches if any(learner.is_warming() for learner in learners) else 1
    rates = torch.tensor(
        [[learner.learning_rate(batch) for learner in learners] for batch in range(changes)],
        dtype=features.dtype,
        device=first.device,
    )
    share = None
    totals = torch.zeros(len(learners), dtype=features.dtype, device=first.device)
    wanted = list(trained.values())
    for batch, start in enumerate(range(0, order.shape[1], first.config.batch_size)):
        rows = order[:, start : start + first.config.batch_size]
        # Indexing by a table of rows is several times slower on CPU.
        inputs = features.index_select(0, rows.flatten()).view(*rows.shape, *features.shape[1:])
        inputs, expected = inputs.to(first.device), targets[rows].to(first.device)
        if keys is not None:
            for layer, name in enumerate(names):
                buffers[f"{name}.key" if name else "key"].copy_(keys[:, batch, layer])
        if augmentation is not None:
            inputs, share = augmentation(inputs, batch), augmentation.share(batch)
        if batch < len(rates):
            optimizer.set_learning_rates(rates[batch])
        with _vectorising():
            lost = loss(forward(parameters, buffers, inputs), expected, share)
            gradients: Sequence[Tensor] = torch.autograd.grad(lost.sum(), wanted)
        if batch == first.batches - 1:
            norms = rules.norm(gradients)
        if rules.any:
            gradients = rules.apply(wanted, gradients)
        optimizer.step(gradients)
        totals += lost.detach() * rows.shape[1]
    return totals, norms


@contextmanager
def _vectorising() -> Iterator[None]:
    """Turn a failure of ``vmap`` into CannotStack. A genuine error reappears when the model trains alone."""
    try:
        yield
    except torch.AcceleratorError:
        raise
    except Exception as error:  # a model's or a loss's code may raise anything
        if is_out_of_memory(error):
            raise
        said = (
            str(error)
            if isinstance(error, RuntimeError) and str(error)
            else f"{type(error).__name__}: {error}"
        )
        raise CannotStack(said.splitlines()[0]) from error


def _evaluate(
    learner: Learner, parameters: dict[str, Tensor], buffers: dict[str, Tensor]
) -> tuple[Tensor, Tensor, list[dict[str, float]]]:
    """Return sums of the losses and scores over the validation rows, and further metrics, one per lane."""
    features, targets = learner.validation
    model = learner.network.eval()
    score = correct if learner.task == "classification" else squared_errors
    lanes = len(next(iter(parameters.values())))
    # A batch of rows per lane fits, since training kept it in memory together with its gradients.
    chunk = max(learner.config.batch_size, EVALUATION_ROWS // lanes)

    forward = stacked_forward.forward(model, shared_inputs=True)
    device = learner.device
    total_loss = total_score = torch.zeros(lanes, dtype=torch.float64, device=device)
    kept = []
    for start in range(0, len(targets), chunk):
        wanted = targets[start : start + chunk].to(device)
        with _vectorising():
            rows = features[start : start + chunk].to(device, copy=True)  # a model may change its input
            outputs = forward(parameters, buffers, rows)
            each = losses(learner.loss, outputs, wanted.expand(lanes, -1))
        total_loss, total_score = total_loss + each * len(wanted), total_score + score(outputs, wanted)
        if learner.metrics.any:
            kept.append(outputs)
    more = learner.metrics.of(kept, targets.to(device)) if kept else [{} for _ in range(lanes)]
    return total_loss, total_score, more
