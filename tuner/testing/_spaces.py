"""The spaces on which searchers are tried."""

from __future__ import annotations

from tuner.space import Choice, Float, Int, SearchSpace

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
    # 0.1 * 3 is no multiple of 0.1 to the last bit.
    "steps": SearchSpace({"dropout": Float(0.0, 0.1 * 3, step=0.1), "shift": Int(-5, 7, step=4)}),
    "whole numbers on a logarithmic scale": SearchSpace(
        {"layers": Int(1, 2, log=True), "hidden": Int(1, 1024, log=True, points=4)}
    ),
    "values of all kinds": SearchSpace({"value": Choice((True, 1, None, [1, 2], "1", 0, False, {"a": 1}))}),
    "constants beside a dimension": SearchSpace(
        {"batch_size": 64, "layers": [8, 8], "lr": Float(0, 1, points=3)}
    ),
    "constants only": SearchSpace({"batch_size": 64}),
}
"""Name -> a space without conditions; every dimension says how many values a grid takes."""

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
}
"""Name -> a space with conditions."""

PLANE = SearchSpace({"x": Float(0.0, 1.0, points=8), "y": Float(0.0, 1.0, points=8)})
"""Two dimensions alike; a grid takes 64 configurations of it."""
