"""Each layer's stacked forward pass equals ``vmap``'s: outputs, gradients and buffers."""

import copy

import pytest
import torch
from torch import nn

from trainables.stacking import forward as stacked_forward

LANES, ROWS = 3, 5

DIRECT = {
    "convolution": (nn.Conv2d(4, 6, 3, padding=1), (4, 8, 7)),
    "convolution without bias": (nn.Conv2d(4, 6, (3, 2), bias=False), (4, 8, 7)),
    "convolution with options": (nn.Conv2d(4, 6, 3, stride=(2, 1), padding=(1, 2), dilation=2), (4, 8, 7)),
    "convolution in groups": (nn.Conv2d(4, 6, 3, groups=2), (4, 8, 7)),
    "convolution of the same size": (nn.Conv2d(4, 6, (5, 3), padding="same"), (4, 8, 7)),
    "two convolutions": (nn.Sequential(nn.Conv2d(4, 6, 3), nn.ReLU(), nn.Conv2d(6, 2, 3)), (4, 8, 7)),
    "batch normalisation": (nn.BatchNorm2d(4), (4, 8, 7)),
    "batch normalisation of units": (nn.BatchNorm1d(4, momentum=0.3, eps=1e-3), (4,)),
    "batch normalisation of sequences": (nn.BatchNorm1d(4), (4, 6)),
    "batch normalisation without weights": (nn.BatchNorm2d(4, affine=False), (4, 8, 7)),
    "in a network": (
        nn.Sequential(
            nn.Unflatten(1, (4, 8, 7)),
            nn.Conv2d(4, 6, 3),
            nn.BatchNorm2d(6),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(36, 3),
        ),
        (4 * 8 * 7,),
    ),
}

WITHOUT_PARAMETERS = {
    "max pooling": (nn.MaxPool2d(2), (4, 8, 7)),
    "max pooling with options": (nn.MaxPool2d(3, stride=2, padding=1, dilation=2, ceil_mode=True), (4, 8, 7)),
    "average pooling": (nn.AvgPool2d(2), (4, 8, 7)),
    "average pooling with options": (
        nn.AvgPool2d(3, stride=2, padding=1, ceil_mode=True, count_include_pad=False),
        (4, 8, 7),
    ),
    "average pooling by a number": (nn.AvgPool2d(2, divisor_override=3), (4, 8, 7)),
    "adaptive pooling": (nn.AdaptiveAvgPool2d((3, None)), (4, 8, 7)),
    "flattening": (nn.Flatten(), (4, 8, 7)),
    "flattening of the first": (nn.Flatten(0, 2), (4, 8, 7)),
    "flattening up to one from the end": (nn.Flatten(1, -2), (4, 8, 7)),
    "unflattening": (nn.Unflatten(1, (2, -1)), (4, 8, 7)),
}

OTHERS = {
    "circular convolution": (nn.Conv2d(4, 6, 3, padding=1, padding_mode="circular"), (4, 8, 7)),
    "convolution of one image": (nn.Conv2d(ROWS, 6, 3), (8, 7)),
    "batch normalisation by the batch": (nn.BatchNorm2d(4, track_running_stats=False), (4, 8, 7)),
    "pooling of one image": (nn.Sequential(nn.Linear(7, 7), nn.MaxPool2d(2)), (8, 7)),
    "flattening from the end": (nn.Sequential(nn.Linear(7, 7), nn.Flatten(-2)), (4, 8, 7)),
}


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def stacked_lanes(model):
    """Return the parameters and buffers of lanes that differ in every value."""
    parameters = {
        name: torch.randn(LANES, *each.shape, dtype=torch.float64, requires_grad=True)
        for name, each in model.named_parameters()
    }
    buffers = {
        name: torch.rand(LANES, *each.shape).to(each.dtype) + torch.arange(LANES).view(-1, *[1] * each.ndim)
        for name, each in model.named_buffers()
    }
    return parameters, {
        name: each.double() if each.dtype == torch.float32 else each for name, each in buffers.items()
    }


@pytest.fixture
def vmapped(monkeypatch):
    """Return the list of layers that went through ``vmap``, in order."""
    layers, through = [], stacked_forward._vmap

    def noting(module, **parts):
        layers.append(module)
        return through(module, **parts)

    monkeypatch.setattr(stacked_forward, "_vmap", noting)
    return layers


def assert_same_as_vmap(model, inputs, *, shared):
    """Compare outputs, gradients of inputs and parameters, and the final buffers."""
    parameters, buffers = stacked_lanes(model)
    others = copy.deepcopy(buffers)
    ours, theirs = (inputs.clone().requires_grad_() for _ in range(2))
    outputs = stacked_forward.forward(model, shared_inputs=shared)(parameters, buffers, ours)
    through = torch.func.vmap(
        lambda own, its, rows: torch.func.functional_call(model, (own, its), (rows,)),
        in_dims=(0, 0, None if shared else 0),
    )
    expected = through(parameters, others, theirs)
    torch.testing.assert_close(outputs, expected, rtol=1e-12, atol=1e-12)
    weights = torch.randn_like(expected)
    for mine, wanted in zip(
        torch.autograd.grad((outputs * weights).sum(), [ours, *parameters.values()]),
        torch.autograd.grad((expected * weights).sum(), [theirs, *parameters.values()]),
        strict=True,
    ):
        torch.testing.assert_close(mine, wanted, rtol=1e-8, atol=1e-10)
    assert buffers.keys() == others.keys()
    for name, buffer in buffers.items():
        torch.testing.assert_close(buffer, others[name], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("name", [*DIRECT, *WITHOUT_PARAMETERS])
def test_a_known_layer_equals_vmap_without_using_it(name, training, vmapped):
    model, shape = {**DIRECT, **WITHOUT_PARAMETERS}[name]
    model = copy.deepcopy(model).double().train(training)
    assert_same_as_vmap(model, torch.randn(LANES, ROWS, *shape, dtype=torch.float64), shared=False)
    assert vmapped == []


@pytest.mark.parametrize("name", DIRECT)
def test_a_known_layer_equals_vmap_on_inputs_shared_by_all_lanes(name):
    model, shape = DIRECT[name]
    model = copy.deepcopy(model).double().eval()
    assert_same_as_vmap(model, torch.randn(ROWS, *shape, dtype=torch.float64), shared=True)


@pytest.mark.parametrize("name", OTHERS)
def test_a_layer_in_an_unusual_use_goes_through_vmap(name, vmapped):
    model, shape = OTHERS[name]
    model = copy.deepcopy(model).double().train()
    assert_same_as_vmap(model, torch.randn(LANES, ROWS, *shape, dtype=torch.float64), shared=False)
    assert len(vmapped) == 1
