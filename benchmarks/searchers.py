"""Measure how good the searchers' trials are, and how long a suggestion takes.

``python -m benchmarks.searchers`` runs every searcher on the problems of ``benchmarks.problems``. It prints
the regret (best loss so far minus smallest possible loss) after 25, 50 and 100 trials: the median over the
seeds with its 95% bootstrap interval. Each search is saved in ``--out`` as it ends, so an interrupted run
resumes. ``--cost`` measures the seconds of a suggestion instead.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import time
import warnings
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from threadpoolctl import threadpool_limits

from benchmarks.problems import PROBLEMS, Problem, networks
from tuner import Bayes, Float, HyperOpt, Objective, Optuna, Random, Reinforce, SearchSpace
from tuner.searchers import Evolution, SearcherSpec, Sobol, start

Array = NDArray[np.float64]

COMPARED: dict[str, SearcherSpec] = {
    "random": Random(),
    "sobol": Sobol(),
    "evolution": Evolution(),
    "hyperopt tpe": HyperOpt(),
    "optuna tpe": Optuna(),
    "optuna gp": Optuna(sampler="gp"),
    "optuna cmaes": Optuna(sampler="cmaes"),
    "bayes gp": Bayes(),
    "bayes rf": Bayes(surrogate="rf"),
}
# Not compared, because they are for several objectives, similar to others, or need lists of values. A grid
# only lists its configurations.
TIMED_ONLY: dict[str, SearcherSpec] = {
    "hyperopt anneal": HyperOpt(algorithm="anneal"),
    "optuna nsga2": Optuna(sampler="nsga2"),
    "optuna qmc": Optuna(sampler="qmc"),
    "reinforce": Reinforce(),
}
TABLES = ("wine", "breast_cancer")
COUNTS = (25, 50, 100)
LOSS = Objective(metric="loss", mode="min")

# Promised: the first is at least as good as the second, on these problems.
PROMISES = [
    ("bayes gp", "optuna gp", "all"),
    ("bayes rf", "optuna tpe", "mixed"),
    *[(name, "random", "smooth") for name, spec in COMPARED.items() if spec.learns],
]


def problem(name: str, folder: Path) -> Problem:
    return networks(name, folder) if name in TABLES else PROBLEMS[name]


def search(name: str, who: str, seed: int, trials: int, folder: Path) -> tuple[list[float], float]:
    """Return the losses of a search, trial by trial, and its duration in seconds."""
    began = time.perf_counter()
    warnings.simplefilter("ignore")
    asked = problem(name, folder)
    searcher = start(COMPARED[who], asked.space, objective=LOSS, seed=seed)
    losses = []
    with threadpool_limits(1):  # one core per search
        for trial in range(trials):
            config = searcher.suggest(trial)
            assert config is not None
            losses.append(asked.loss(config))
            searcher.finish(trial, "completed", losses[-1])
    return losses, time.perf_counter() - began


def run_all(
    names: Sequence[str], whos: Sequence[str], *, seeds: range, trials: int, jobs: int, folder: Path
) -> None:
    """Run the searches that ``folder`` lacks, seed by seed."""
    for name in names:
        problem(name, folder)  # trains the networks once, before several processes start
    kept = folder / "searches.jsonl"
    finished = {
        (row["problem"], row["searcher"], row["seed"]) for row in read(folder) if len(row["losses"]) >= trials
    }
    todo = [
        (name, who, seed)
        for seed in seeds
        for name in names
        for who in whos
        if (name, who, seed) not in finished
    ]
    with (
        ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool,
        kept.open("a") as file,
    ):
        asked = {pool.submit(search, *one, trials, folder): one for one in todo}
        for done in as_completed(asked):
            name, who, seed = asked[done]
            losses, took = done.result()
            row = {"problem": name, "searcher": who, "seed": seed, "losses": losses, "seconds": took}
            file.write(json.dumps(row) + "\n")
            file.flush()


def read(folder: Path) -> list[dict[str, Any]]:
    kept = folder / "searches.jsonl"
    return [json.loads(line) for line in kept.read_text().splitlines()] if kept.exists() else []


def regrets(folder: Path, name: str, *, seeds: range, trials: int) -> dict[str, Array]:
    """Return the regret (seeds x trials) of each searcher on a problem, for the finished seeds."""
    found: dict[str, dict[int, list[float]]] = {who: {} for who in COMPARED}
    for row in read(folder):
        if row["problem"] == name and row["seed"] in seeds and len(row["losses"]) >= trials:
            found[row["searcher"]][row["seed"]] = row["losses"][:trials]
    least = problem(name, folder).least
    return {
        who: np.minimum.accumulate(
            np.array([losses_by_seed[seed] for seed in sorted(losses_by_seed)]), axis=1
        )
        - least
        for who, losses_by_seed in found.items()
        if losses_by_seed
    }


def table(name: str, found: dict[str, Array], counts: Sequence[int]) -> str:
    head = " | ".join(f"after {count}" for count in counts)
    lines = [f"## {name}", "", f"| searcher | seeds | {head} |", f"|---|---:|{'---:|' * len(counts)}"]
    for who, regret in found.items():
        cells = " | ".join(interval(regret[:, count - 1]) for count in counts)
        lines.append(f"| {who} | {len(regret)} | {cells} |")
    return "\n".join([*lines, ""])


def interval(values: Array) -> str:
    """Return the median and its 95% interval, from the percentiles of 2,000 resamplings."""
    rng = np.random.default_rng(0)
    medians = np.median(rng.choice(values, size=(2000, len(values))), axis=1)
    low, high = np.percentile(medians, [2.5, 97.5])
    return f"{np.median(values):.3g} ({low:.2g} to {high:.2g})"


def promises(found: dict[str, dict[str, Array]], smooth: dict[str, bool], counts: Sequence[int]) -> str:
    """Return a table of how often one searcher is ahead of another, with p-values (Mann-Whitney).

    The p-value is the probability of so low a share if both are equally good.
    """
    lines = ["## Promises", "", "| searcher | against | problem | after | ahead in | p that low |"]
    lines.append("|---|---|---|---:|---:|---:|")
    for one, other, where in PROMISES:
        for name, regret in found.items():
            if (
                one not in regret
                or other not in regret
                or where not in ("all", "smooth" if smooth[name] else "mixed")
            ):
                continue
            for count in counts:
                ours, theirs = regret[one][:, count - 1], regret[other][:, count - 1]
                test = stats.mannwhitneyu(theirs, ours, alternative="less")
                ahead = test.statistic / (len(ours) * len(theirs))
                lines.append(f"| {one} | {other} | {name} | {count} | {ahead:.0%} | {test.pvalue:.2g} |")
    return "\n".join([*lines, ""])


def seconds(spec: SearcherSpec, *, observations: int, dimensions: int, repeats: int = 3) -> float:
    """Return the median CPU time of a suggestion after a number of completed trials."""
    points = 100 if isinstance(spec, Reinforce) else None
    space = SearchSpace({f"x{i}": Float(0.0, 1.0, points=points) for i in range(dimensions)})
    searcher = start(spec, space, objective=LOSS, seed=0)
    rng = np.random.default_rng(0)
    for trial in range(-observations, 0):
        config = space.sample(rng)
        if points is not None:
            config = {name: round(value * (points - 1)) / (points - 1) for name, value in config.items()}
        searcher.take(trial, config)
        searcher.finish(trial, "completed", sum((value - 0.3) ** 2 for value in config.values()))
    times = []
    for trial in range(repeats):
        with threadpool_limits(1):
            began = time.thread_time()
            suggested = searcher.suggest(trial)
            times.append(time.thread_time() - began)
        assert suggested is not None
        searcher.finish(trial, "completed", sum((value - 0.3) ** 2 for value in suggested.values()))
    return median(times)


def cost(whos: Sequence[str]) -> str:
    sizes = [(100, 10), (500, 10), (1000, 10), (100, 40), (1000, 40)]
    head = " | ".join(f"{n} in {d}" for n, d in sizes)
    lines = ["## Seconds per suggestion, by observations and dimensions", "", f"| searcher | {head} |"]
    lines.append(f"|---|{'---:|' * len(sizes)}")
    timed = COMPARED | TIMED_ONLY
    for who in whos:
        cells = " | ".join(f"{seconds(timed[who], observations=n, dimensions=d):.3g}" for n, d in sizes)
        lines.append(f"| {who} | {cells} |")
        print(lines[-1], flush=True)
    return "\n".join([*lines, ""])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.searchers", description=__doc__)
    parser.add_argument("--problems", nargs="*", default=[*PROBLEMS, *TABLES], choices=[*PROBLEMS, *TABLES])
    parser.add_argument("--searchers", nargs="*", default=list(COMPARED), choices=list(COMPARED))
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--trials", type=int, default=max(COUNTS))
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--out", type=Path, default=Path("results/searchers"), help="folder of the searches")
    parser.add_argument(
        "--cost", action="store_true", help="measure the seconds of a suggestion, not its quality"
    )
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    if options.cost:
        print(cost([*options.searchers, *TIMED_ONLY]))
        return
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    options.out.mkdir(parents=True, exist_ok=True)
    run_all(
        options.problems,
        options.searchers,
        seeds=seeds,
        trials=options.trials,
        jobs=options.jobs,
        folder=options.out,
    )
    counts = [count for count in COUNTS if count <= options.trials]
    found = {
        name: regrets(options.out, name, seeds=seeds, trials=options.trials) for name in options.problems
    }
    for name, regret in found.items():
        print(table(name, regret, counts), flush=True)
    print(promises(found, {name: problem(name, options.out).smooth for name in found}, counts))


if __name__ == "__main__":
    main()
