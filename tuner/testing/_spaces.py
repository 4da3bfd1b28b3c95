"""Search spaces for the tests of searchers."""

from __future__ import annotations

from tuner.space import Architecture, Choice, Float, Int, Ordinal, Repeat, SearchSpace

SPACES: dict[str, SearchSpace] = {
    "flat": SearchSpace(
        {
            "lr": Float(1e-4, 1.0, log=True, points=3),
            "momentum": Float(0.0, 0.99, points=3),
            "hidden": Int(16, 256, points=3),
            "optimizer": Choice(("sgd", "adam")),
        }
    ),
    "one dimension": SearchSpace({"lr": Float(1e-5, 1e-1, log=True, points=7)}),
    # 0.1 * 3 is not exactly a multiple of 0.1 in floating point.
    "steps": SearchSpace({"dropout": Float(0.0, 0.1 * 3, step=0.1), "shift": Int(-5, 7, step=4)}),
    "whole numbers on a logarithmic scale": SearchSpace(
        {"layers": Int(1, 2, log=True), "hidden": Int(1, 1024, log=True, points=4)}
    ),
    "whole numbers beyond 64 bits": SearchSpace(
        {
            "id": Int(0, 2**63, points=3),
            "offset": Int(2**62, 2**62 + 1),
            "size": Int(1, 2**70, log=True, points=3),
            "step": Int(-(3**50), 3**50, step=2, points=2),
        }
    ),
    "values of all kinds": SearchSpace(
        {
            "value": Choice((True, 1, None, [1, 2], "1", 0, False, {"a": 1})),
            "size": Ordinal(("small", [2], None)),
        }
    ),
    "constants beside a dimension": SearchSpace(
        {"batch_size": 64, "layers": [8, 8], "lr": Float(0, 1, points=3)}
    ),
    "constants only": SearchSpace({"batch_size": 64}),
    "priors": SearchSpace(
        {
            "lr": Float(1e-4, 1.0, log=True, default=1e-3, prior="normal", points=3),
            "depth": Int(1, 8, default=8, prior="normal", points=3),
            "optimizer": Choice(("sgd", "adam"), default="adam"),
        }
    ),
    "constraints": SearchSpace(
        {
            "hidden": Int(16, 256, points=4),
            "depth": Int(1, 8, points=3),
            "dropout": Float(0.0, 0.5, points=2),
            "constraints": ["hidden * depth <= 256", "depth > 1 or dropout < 0.4"],
        }
    ),
}
"""Name -> a space without conditions. Every dimension declares its number of grid values."""

CONDITIONAL_SPACES: dict[str, SearchSpace] = {
    "one condition": SearchSpace(
        {
            "momentum": Float(0.0, 0.9, points=3, when={"optimizer": "sgd"}),
            "optimizer": Choice(("sgd", "adam")),
        }
    ),
    "conditions three deep": SearchSpace(
        {
            "task": "vision",
            "kind": Choice(("linear", "network")),
            "depth": Int(1, 3, when={"kind": "network", "task": "vision"}),
            "norm": Choice((None, "batch", "layer"), when={"depth": [2, 3]}),
            "epsilon": Float(
                1e-6, 1e-2, log=True, points=2, when={"norm": ["batch", "layer"], "kind": ["network"]}
            ),
        }
    ),
    "conditions by range": SearchSpace(
        {
            "rate": Float(0.0, 1.0, points=4),
            "decay": Float(0.0, 0.1, points=2, when={"rate": {"min": 0.3, "max": 0.7}}),
            "size": Ordinal(("small", "medium", "large")),
            "depth": Int(1, 4, when={"size": {"min": "medium"}, "rate": {"max": 0.9}}),
        }
    ),
    "groups three deep": SearchSpace(
        {
            "model": Choice(
                {
                    "linear": {"lr": Float(0.01, 1.0, log=True, points=2)},
                    "network": {
                        "lr": Float(1e-5, 1e-3, log=True, points=2),
                        "width": Int(8, 64, points=2),
                        "norm": Choice({"none": None, "batch": {"momentum": Float(0.0, 0.9, points=2)}}),
                        "bias": False,
                    },
                }
            ),
            "warm": Choice((True, False), when={"lr": {"max": 0.5}}),
            "constraints": ["width * momentum <= 30"],
        }
    ),
    "a list of variable length": SearchSpace(
        {
            "layers": Int(0, 3),
            "units": Repeat("layers", each=Int(4, 64, points=2)),
            "rate": Float(0.0, 1.0, points=2, when={"layers": {"min": 2}}),
            "constraints": ["sum(units) <= 160", "units[0] >= units[1]"],
        }
    ),
    "lists in groups": SearchSpace(
        {
            "model": Choice(
                {
                    "mlp": {
                        "layers": Ordinal((1, 2)),
                        "units": Repeat("layers", each=Int(8, 32, points=2), default=[16]),
                    },
                    "cnn": {
                        "layers": Choice((1, 2)),
                        "units": Repeat("layers", each=Choice((3, 5))),
                        "strides": Repeat(2, each=Choice((1, "same"))),
                    },
                    "linear": None,
                }
            ),
        }
    ),
}
"""Name -> a space with conditions."""

ARCHITECTURE_SPACES: dict[str, SearchSpace] = {
    "an architecture": SearchSpace(
        {
            "architecture": Architecture(
                {"dense": {"width": (8, 16), "activation": ("relu", "tanh")}, "dropout": {"p": (0.1, 0.5)}},
                layers=(1, 2),
                skip=True,
            )
        }
    ),
    "an architecture under a condition": SearchSpace(
        {
            "kind": Choice(("linear", "network")),
            "lr": Float(1e-3, 1e-1, log=True, points=3),
            "architecture": Architecture(
                {"conv": {"kernel": (3, 5)}, "pool": {}}, layers=(2, 3), when={"kind": "network"}
            ),
        }
    ),
}
"""Name -> a space with an architecture, small enough for a grid."""

PLANE = SearchSpace({"x": Float(0.0, 1.0, points=8), "y": Float(0.0, 1.0, points=8)})
"""A plane with two equal dimensions, whose grid has 64 configurations."""

FINE_PLANE = SearchSpace({"x": Float(0.0, 1.0, points=16), "y": Float(0.0, 1.0, points=16)})
"""The plane with 256 grid configurations, so that a searcher without repeats can avoid one half."""
