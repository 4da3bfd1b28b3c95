"""Count the iterations that each scheduler needs to find a nearly best configuration, in simulation.

``python -m benchmarks.stopping`` records 256 learning curves of ``sweeps/digits.yaml`` to 81 epochs. This
takes some minutes and happens once. It then runs every scheduler on them in 20 orders, and on counting-ones
(Falkner et al. 2018, arXiv:1807.01774, section 5.1), with one worker and with four. The reference is random
search without early stopping.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from statistics import fmean, median

import numpy as np

from tuner import Budget, Choice, Float, Objective, SearchSpace, Sweep, run
from tuner.schedulers import SCHEDULERS, Replay
from tuner.simulation._simulate import simulate
from tuner.simulation.curves import Costs, LearningCurve, RecordedCurves

TRIALS, EPOCHS, SEEDS = 256, 81, 20
WORKERS = (1, 4)  # more workers finish sooner but use more iterations, because concurrent trials count too
CLOSE = 0.005  # within half a per cent of the best known value
DIGITS = Path(__file__).parents[1] / "sweeps" / "digits.yaml"


def record(folder: Path) -> RecordedCurves:
    """Return the curves of 256 random configurations of the digits recipe.

    They are recorded unless ``folder`` has them.
    """
    overrides = [
        f"budget.trials={TRIALS}",
        f"budget.iterations={EPOCHS}",
        "searcher=random",
        "scheduler=fifo",
    ]
    sweep = Sweep.read(DIGITS, [*overrides, f"out={folder}", "name=curves"])
    if not (folder / "curves" / "report.html").is_file():
        run(sweep, exclusive=True)
    return RecordedCurves.read(folder / "curves", space=sweep.space, objective=sweep.objective)


def digits(curves: RecordedCurves) -> Callable[[int], tuple[Sweep, Callable[..., LearningCurve], float]]:
    """Return a function from a seed to a sweep, its curves and the target value.

    The seed orders the recorded curves.
    """
    best = max(max(curve.values) for curve in curves.curves)

    def task(seed: int) -> tuple[Sweep, Callable[..., LearningCurve], float]:
        order = np.random.default_rng(seed).permutation(len(curves.curves))
        sweep = Sweep(
            trainable="mlp",
            space={"x": Float(0, 1)},
            objective=Objective(metric="val_accuracy", mode="max"),
            budget=Budget(trials=len(order), iterations=EPOCHS),
            seed=seed,
        )
        return sweep, lambda config, trial: curves.curves[order[trial]], best * (1 - CLOSE)

    return task


def counting_ones(seed: int) -> tuple[Sweep, Callable[..., LearningCurve], float]:
    """Return a sweep of counting-ones, its curves and the target value: the best that random search finds.

    There are four bits and four probabilities of a one. An iteration draws 9 times from each probability.
    """
    names = [f"{kind}{number}" for kind in ("bit", "chance") for number in range(4)]
    space = {name: Choice([0, 1]) if name.startswith("bit") else Float(0.0, 1.0) for name in names}
    sweep = Sweep(
        trainable="mlp",
        space=space,
        objective=Objective(metric="ones", mode="max"),
        budget=Budget(trials=TRIALS, iterations=EPOCHS),
        seed=seed,
    )

    def curve(config: dict, trial: int) -> LearningCurve:
        rng = np.random.default_rng([seed, trial])
        bits = sum(value for name, value in config.items() if name.startswith("bit"))
        chances = np.array([value for name, value in config.items() if name.startswith("chance")])
        drawn = rng.binomial(9, chances, size=(EPOCHS, 4)).cumsum(axis=0) / (
            9 * np.arange(1, EPOCHS + 1)[:, None]
        )
        return LearningCurve((bits + drawn.sum(axis=1)).tolist())

    searcher = sweep.searcher.build(SearchSpace(space), objective=sweep.objective, seed=seed)
    suggested = [searcher.suggest(trial) or {} for trial in range(TRIALS)]
    found = max(curve(config, trial).values[-1] for trial, config in enumerate(suggested))
    return sweep, curve, found * (1 - CLOSE)


def needed(
    task: Callable[[int], tuple[Sweep, Callable[..., LearningCurve], float]], workers: int
) -> dict[str, list[float]]:
    """Return, for each scheduler and seed, the iterations until the target was found.

    The number is infinite if the target was never found.
    """
    found: dict[str, list[float]] = {
        name: []
        for name, cls in SCHEDULERS.items()
        if cls is not Replay  # without changes it equals fifo
    }
    for seed in range(SEEDS):
        sweep, curves, target = task(seed)
        for name in found:
            asked = sweep.model_copy(update={"scheduler": SCHEDULERS[name]()})
            done = simulate(asked, curves, workers=workers, costs=Costs()).iterations_until(
                target, better_is_higher=True
            )
            found[name].append(np.inf if done is None else done)
    return found


def table(title: str, found: dict[str, list[float]]) -> str:
    lines = [
        f"## {title}",
        "",
        "| scheduler | found it | median iterations | of random search |",
        "|---|---:|---:|---:|",
    ]
    base = median(found["fifo"])
    for name, counts in found.items():
        share_found = fmean(np.isfinite(counts))
        lines.append(f"| {name} | {share_found:.0%} | {median(counts):,.0f} | {median(counts) / base:.2f} |")
    return "\n".join([*lines, ""])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stopping", description=__doc__)
    parser.add_argument("--curves", type=Path, default=Path("results/stopping"), help="folder of the curves")
    options = parser.parse_args()
    recorded = digits(record(options.curves))
    tasks = {
        "256 curves of sweeps/digits.yaml, 81 epochs": recorded,
        "counting-ones, 4 + 4, 81 iterations of 9 draws": counting_ones,
    }
    for title, task in tasks.items():
        for workers in WORKERS:
            print(table(f"{title}; workers: {workers}", needed(task, workers)), flush=True)


if __name__ == "__main__":
    main()
