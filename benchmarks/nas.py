"""Compare architecture searches with random search, on a table of all networks in the space.

``python -m benchmarks.nas`` trains each of 1,806 small networks on the digits three times. This takes some
minutes and happens once. Then searchers look for the best network, and a child's reward is its mean accuracy
in the table.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from statistics import fmean, median

from tuner import Architecture, Budget, Objective, Report, Resources, SearchSpace, Sweep, run
from tuner.searchers import SEARCHERS
from tuner.simulation._simulate import simulate
from tuner.simulation.curves import Costs, LearningCurve

SPACE = SearchSpace(
    {
        "architecture": Architecture(
            {"dense": {"width": [4, 16, 64], "activation": ["relu", "sigmoid"]}}, layers=(1, 3), skip=True
        ),
        "lr": 0.003,
        "batch_size": 64,
    }
)
OBJECTIVE = Objective(metric="val_accuracy", mode="max")
REPEATS, EPOCHS = 3, 5
TRIALS, WORKERS = 60, 4

Table = dict[str, float]
"""Architecture -> mean validation accuracy after the last epoch."""


def record(folder: Path) -> Table:
    """Return the mean accuracy of every architecture, trained unless ``folder`` has the results.

    Each repeat has other initial weights and another split.
    """
    accuracies: dict[str, list[float]] = {}
    for seed in range(REPEATS):
        name = f"table-{seed}"
        if not (folder / name / "report.html").is_file():
            sweep = Sweep(
                trainable={"kind": "nas_mlp", "dataset": "digits"},
                space=SPACE,
                objective=OBJECTIVE,
                budget=Budget(iterations=EPOCHS),
                searcher="grid",
                resources=Resources(lanes=1),  # all shapes differ, so none can share lanes
                seed=seed,
                name=name,
                out=str(folder),
            )
            run(sweep, exclusive=True)
        for trial in Report.read(folder / name).trials:
            accuracies.setdefault(trial.config["architecture"], []).append(trial.curve[-1][1])
    return {text: fmean(values) for text, values in accuracies.items()}


def search(searcher: str, table: Table, *, seed: int, trials: int = TRIALS) -> list[float]:
    """Return the children's accuracies in the order of their suggestions. Four children train at once."""
    children: list[float] = []

    def child(config: dict, trial: int) -> LearningCurve:
        children.append(table[config["architecture"]])
        return LearningCurve(children[-1:])

    sweep = Sweep(
        trainable="nas_mlp",
        space=SPACE,
        objective=OBJECTIVE,
        budget=Budget(trials=trials, iterations=1),
        searcher=searcher,
        seed=seed,
    )
    simulate(sweep, child, workers=WORKERS, costs=Costs())
    return children


def quarters(children: list[float]) -> list[float]:
    """Return the mean accuracy of each quarter of the search."""
    size = len(children) // 4
    return [fmean(children[start : start + size]) for start in range(0, 4 * size, size)]


def markdown(table: Table, *, seeds: int, trials: int = TRIALS) -> str:
    ordered = sorted(table.values(), reverse=True)
    lines = [
        f"{len(table):,} architectures, mean accuracy {fmean(ordered):.3f}, best {ordered[0]:.4f}; "
        f"{trials} children, {seeds} seeds",
        "",
        "| searcher | mean accuracy of the children, by quarter | best child, median | its rank, median "
        "| better than random's / as good |",
        "|---|---|---:|---:|---:|",
    ]
    bests: dict[str, list[float]] = {}
    for name in ("random", *sorted({"evolution", "reinforce"} & SEARCHERS.keys())):
        searches = [search(name, table, seed=seed, trials=trials) for seed in range(seeds)]
        bests[name] = [max(children) for children in searches]
        rising = [fmean(values) for values in zip(*map(quarters, searches), strict=True)]
        ranks = [1 + sum(value > best for value in ordered) for best in bests[name]]
        pairs = list(zip(bests[name], bests["random"], strict=True))
        better, equal = sum(one > other for one, other in pairs), sum(one == other for one, other in pairs)
        shown = ", ".join(f"{value:.3f}" for value in rising)
        against = "" if name == "random" else f"{better} / {equal} of {seeds}"
        lines.append(f"| {name} | {shown} | {median(bests[name]):.4f} | {median(ranks):g} | {against} |")
    return "\n".join([*lines, ""])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.nas", description=__doc__)
    parser.add_argument("--table", type=Path, default=Path("results/nas"), help="folder of the table")
    parser.add_argument("--seeds", type=int, default=5, help="number of searches per searcher (default: 5)")
    parser.add_argument(
        "--trials", type=int, default=TRIALS, help=f"number of children per search (default: {TRIALS})"
    )
    options = parser.parse_args()
    print(markdown(record(options.table), seeds=options.seeds, trials=options.trials))


if __name__ == "__main__":
    main()
