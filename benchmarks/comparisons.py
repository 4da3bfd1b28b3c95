"""The comparisons. Each is a list of cases that do the same work, with tuner last."""

from __future__ import annotations

import json
import math
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Case:
    """One way to do the work."""

    name: str
    setting: str
    run: Callable[[str], dict[str, Any]]
    """Maps a folder to notes for the table. A note called ``seconds`` replaces the wall time."""
    cpus: int = 2
    """CPUs of the Ray that starts before the clock does; 0: no Ray."""


@dataclass(frozen=True)
class Comparison:
    question: str
    cases: tuple[Case, ...]


def run_case(comparison: str, name: str) -> None:
    """Run a case in this process and print its wall time and notes as JSON."""
    [case] = [case for case in COMPARISONS[comparison].cases if case.name == name]
    folder = tempfile.mkdtemp()
    if case.cpus:
        start_ray(case.cpus)
    try:
        began = time.perf_counter()
        notes = case.run(folder)
        seconds = time.perf_counter() - began
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps({"seconds": notes.pop("seconds", seconds), "notes": notes}), flush=True)


def start_ray(cpus: int) -> None:
    import os

    os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"
    import logging

    import ray

    ray.init(
        address="local",
        num_cpus=cpus,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
    )


# Trivial trials.

TRIVIAL = 100


def trivial_class() -> Any:
    from ray.tune import Trainable

    class Trivial(Trainable):
        def setup(self, config):
            self.x = config["x"]

        def step(self):
            return {"loss": self.x, "done": True}

        def reset_config(self, new_config):
            self.x = new_config["x"]
            return True

        def save_checkpoint(self, checkpoint_dir):
            pass

        def load_checkpoint(self, checkpoint_dir):
            pass

    return Trivial


def ray_tune(
    trainable: Any, space: Any, folder: str, trials: int, *, metric: str, mode: str, **parts: Any
) -> Any:
    from ray import tune

    results = tune.Tuner(
        trainable,
        param_space=space,
        tune_config=tune.TuneConfig(num_samples=trials, metric=metric, mode=mode, **parts),
        run_config=tune.RunConfig(storage_path=folder, verbose=0),
    ).fit()
    assert results.num_errors == 0
    assert len(results) == trials
    return results


def trivial_ray(folder: str, *, reuse: bool) -> dict[str, Any]:
    from ray import tune

    space = {"x": tune.uniform(0, 1)}
    ray_tune(trivial_class(), space, folder, TRIVIAL, metric="loss", mode="min", reuse_actors=reuse)
    return {}


def trivial_tuner(folder: str) -> dict[str, Any]:
    from tuner import Budget, Float, Objective, Sweep, run

    report = run(
        Sweep(
            trainable=trivial_class(),
            space={"x": Float(0, 1)},
            objective=Objective(metric="loss", mode="min"),
            budget=Budget(trials=TRIVIAL, iterations=1),
            out=folder,
        )
    )
    assert report.counts()["completed"] == TRIVIAL
    return {}


def trivial_optuna(folder: str) -> dict[str, Any]:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=TRIVIAL)
    return {"in process": "no workers, no checkpoints, no journal"}


# A model-based searcher and slow trials.


def sleeping(config: dict[str, Any]) -> None:
    from ray import tune

    time.sleep(2)
    tune.report({"loss": config["x"]})


def model_based_ray(folder: str) -> dict[str, Any]:
    from ray import tune
    from ray.tune.search.optuna import OptunaSearch

    space = {"x": tune.uniform(0, 1)}
    ray_tune(sleeping, space, folder, 16, metric="loss", mode="min", search_alg=OptunaSearch())
    return {}


def model_based_tuner(folder: str, searcher: str) -> dict[str, Any]:
    from tuner import Budget, Float, Objective, Sweep, run

    report = run(
        Sweep(
            trainable=sleeping,
            space={"x": Float(0, 1)},
            objective=Objective(metric="loss", mode="min"),
            budget=Budget(trials=16),
            searcher=searcher,
            out=folder,
        )
    )
    assert report.counts()["completed"] == 16
    return {}


# The digits network.

NETWORKS, EPOCHS, BATCH, HIDDEN = 128, 20, 128, 128


def digits() -> tuple[Any, Any, Any, Any]:
    import torch
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    features, targets = load_digits(return_X_y=True)
    features = (features / 16).astype("float32")
    return tuple(map(torch.from_numpy, train_test_split(features, targets, random_state=0)))  # type: ignore[return-value]


class Network:
    """64-128-10, SGD with momentum, batches of 128: the network of all cases except tuner's."""

    def __init__(self, data: tuple[Any, Any, Any, Any], lr: float, momentum: float, seed: int) -> None:
        import torch
        from torch import nn

        torch.manual_seed(seed)
        self.data = data
        self.model = nn.Sequential(nn.Linear(64, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 10))
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=lr, momentum=momentum)

    def epoch(self) -> float:
        import torch
        from torch.nn import functional

        training, validation, targets, wanted = self.data
        order = torch.randperm(len(training))
        for start in range(0, len(order), BATCH):
            rows = order[start : start + BATCH]
            self.optimizer.zero_grad()
            functional.cross_entropy(self.model(training[rows]), targets[rows]).backward()
            self.optimizer.step()
        with torch.no_grad():
            return (self.model(validation).argmax(1) == wanted).float().mean().item()


def drawn(count: int) -> list[tuple[float, float]]:
    rng = np.random.default_rng(0)
    return [(float(10 ** rng.uniform(-3, 0)), float(rng.uniform(0, 0.99))) for _ in range(count)]


def digits_serial(folder: str) -> dict[str, Any]:
    import torch

    torch.set_num_threads(1)
    data, best = digits(), 0.0
    for seed, (lr, momentum) in enumerate(drawn(NETWORKS)):
        network = Network(data, lr, momentum, seed)
        best = max(best, *(network.epoch() for _ in range(EPOCHS)))
    return {"best": round(best, 4)}


def digits_optuna(folder: str, *, jobs: int, asha: bool = False) -> dict[str, Any]:
    import optuna
    import torch

    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    data = digits()

    def objective(trial: optuna.Trial) -> float:
        lr, momentum = trial.suggest_float("lr", 1e-3, 1, log=True), trial.suggest_float("momentum", 0, 0.99)
        network = Network(data, lr, momentum, trial.number)
        best = 0.0
        for epoch in range(1, EPOCHS + 1):
            accuracy = network.epoch()
            best = max(best, accuracy)
            if asha:
                trial.report(accuracy, epoch)
                if trial.should_prune():
                    raise optuna.TrialPruned
        return best

    halving = optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=3)
    study = optuna.create_study(
        direction="maximize",
        sampler=optuna.samplers.RandomSampler(seed=0),
        pruner=halving if asha else optuna.pruners.NopPruner(),
    )
    study.optimize(objective, n_trials=NETWORKS, n_jobs=jobs)
    pruned = {"pruned": len(study.get_trials(states=[optuna.trial.TrialState.PRUNED]))} if asha else {}
    return {"best": round(study.best_value, 4), **pruned}


def digits_class() -> Any:
    from ray.tune import Trainable

    cached: list[Any] = []

    class Digits(Trainable):
        def setup(self, config):
            import torch

            torch.set_num_threads(1)
            if not cached:
                cached.append(digits())
            self.network = Network(cached[0], config["lr"], config["momentum"], 0)
            self.epochs = 0

        def step(self):
            self.epochs += 1
            return {"accuracy": self.network.epoch(), "done": self.epochs >= EPOCHS}

        def reset_config(self, new_config):
            self.setup(new_config)
            return True

        def save_checkpoint(self, checkpoint_dir):
            pass

        def load_checkpoint(self, checkpoint_dir):
            pass

    return Digits


def digits_ray(folder: str, *, reuse: bool, asha: bool) -> dict[str, Any]:
    from ray import tune
    from ray.tune.schedulers import ASHAScheduler

    scheduler = ASHAScheduler(max_t=EPOCHS, grace_period=1, reduction_factor=3) if asha else None
    space = {"lr": tune.loguniform(1e-3, 1), "momentum": tune.uniform(0, 0.99)}
    parts = {"reuse_actors": reuse, "scheduler": scheduler}
    results = ray_tune(digits_class(), space, folder, NETWORKS, metric="accuracy", mode="max", **parts)
    return {"best": round(results.get_best_result(scope="all").metrics["accuracy"], 4)}


def digits_vmap(folder: str) -> dict[str, Any]:
    """Train all networks as one stacked model, hand-written for this network, in one process."""
    import torch
    from torch.nn import functional

    torch.set_num_threads(2)
    training, validation, targets, wanted = digits()
    chosen = drawn(NETWORKS)
    lr, momentum = (torch.tensor(values).view(-1, 1, 1) for values in zip(*chosen, strict=True))
    generator = torch.Generator().manual_seed(0)
    bound_in, bound_out = 1 / math.sqrt(64), 1 / math.sqrt(HIDDEN)

    def uniform(*shape: int, bound: float) -> Any:
        return (torch.rand(NETWORKS, *shape, generator=generator) * 2 - 1) * bound

    weights = [
        uniform(64, HIDDEN, bound=bound_in),
        uniform(1, HIDDEN, bound=bound_in),
        uniform(HIDDEN, 10, bound=bound_out),
        uniform(1, 10, bound=bound_out),
    ]
    buffers = [torch.zeros_like(weight) for weight in weights]
    best = 0.0
    for _ in range(EPOCHS):
        order = torch.stack([torch.randperm(len(training), generator=generator) for _ in range(NETWORKS)])
        for start in range(0, order.shape[1], BATCH):
            rows = order[:, start : start + BATCH]
            leaves = [weight.requires_grad_() for weight in weights]
            hidden = torch.relu(training[rows] @ leaves[0] + leaves[1])
            outputs = hidden @ leaves[2] + leaves[3]
            losses = functional.cross_entropy(
                outputs.flatten(0, 1), targets[rows].flatten(), reduction="none"
            )
            gradients = torch.autograd.grad(losses.view(NETWORKS, -1).mean(1).sum(), leaves)
            with torch.no_grad():
                for buffer, gradient in zip(buffers, gradients, strict=True):
                    buffer.mul_(momentum).add_(gradient)
                weights = [w.detach() - lr * b for w, b in zip(leaves, buffers, strict=True)]
        with torch.no_grad():
            outputs = torch.relu(validation @ weights[0] + weights[1]) @ weights[2] + weights[3]
            best = max(best, (outputs.argmax(-1) == wanted).float().mean(1).max().item())
    return {"best": round(best, 4)}


def digits_tuner(folder: str, *, lanes: Any, scheduler: str) -> dict[str, Any]:
    from tuner import Budget, Float, Objective, Resources, Sweep, run

    report = run(
        Sweep(
            trainable={"kind": "mlp", "dataset": "digits", "validation": 0.25, "test": 0.0},
            space={
                "lr": Float(1e-3, 1, log=True),
                "momentum": Float(0, 0.99),
                "optimizer": "sgd",
                "hidden": HIDDEN,
                "batch_size": BATCH,
            },
            objective=Objective(metric="val_accuracy", mode="max"),
            budget=Budget(trials=NETWORKS, iterations=EPOCHS),
            scheduler=scheduler,
            resources=Resources(lanes=lanes),
            out=folder,
        )
    )
    best = report.best()
    assert best is not None
    return {"best": round(best.value or 0.0, 4), "epochs": report.iterations}


# The control path.


def memory_tuner(folder: str) -> dict[str, Any]:
    """Run 4,000 trials and measure how much the driver's memory grows from the 500th on."""
    import psutil

    from tuner import Budget, Float, Objective, Sweep, run

    process, seen = psutil.Process(), {}

    class Watch:
        def open(self, sweep, folder, slots):
            pass

        def show(self, driver):
            count = len(driver.state.trials)
            if count % 500 == 0 and count not in seen:
                seen[count] = process.memory_info().rss

        def close(self):
            seen[4000] = process.memory_info().rss

    began = time.perf_counter()
    run(
        Sweep(
            trainable=trivial_class(),
            space={"x": Float(0, 1)},
            objective=Objective(metric="loss", mode="min"),
            budget=Budget(trials=4000, iterations=1),
            out=folder,
        ),
        progress=Watch(),
    )
    seconds = time.perf_counter() - began
    growth = (seen[4000] - seen[500]) / 2**20 / 35
    return {"MB per 100 trials": round(growth, 2), "trials per second": round(4000 / seconds)}


RESULTS = 1000


def chatty_class() -> Any:
    """Return a trainable whose iterations only report."""

    trivial: Any = trivial_class()

    class Chatty(trivial):
        def step(self):
            return {"loss": self.x, "done": self.iteration + 1 >= RESULTS}

    return Chatty


def results_ray(folder: str) -> dict[str, Any]:
    from ray import tune

    ray_tune(
        chatty_class(), {"x": tune.uniform(0, 1)}, folder, 4, metric="loss", mode="min", reuse_actors=True
    )
    return {}


def results_tuner(folder: str) -> dict[str, Any]:
    from tuner import Budget, Float, Objective, Sweep, run

    report = run(
        Sweep(
            trainable=chatty_class(),
            space={"x": Float(0, 1)},
            objective=Objective(metric="loss", mode="min"),
            budget=Budget(trials=4, iterations=RESULTS),
            out=folder,
        )
    )
    assert report.iterations == 4 * RESULTS
    return {}


# From the command to the first result.

FIRST_RESULT = """
import sys
from ray import tune
from benchmarks.comparisons import digits_class, ray_tune

class First(tune.Callback):
    def on_trial_result(self, **info):
        print("first result", flush=True)

space = {"lr": tune.loguniform(1e-3, 1), "momentum": tune.uniform(0, 0.99)}
tune.Tuner(
    digits_class(),
    param_space=space,
    tune_config=tune.TuneConfig(num_samples=2, metric="accuracy", mode="max"),
    run_config=tune.RunConfig(storage_path=sys.argv[1], verbose=0, callbacks=[First()]),
).fit()
"""


def first_result(command: list[str], marker: str) -> dict[str, Any]:
    """Run a command and return the seconds until it prints ``sign``, and until it ends."""
    import subprocess
    import sys

    began = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        seconds = next(time.perf_counter() - began for line in process.stdout if marker in line)
        process.stdout.read()
    return {"seconds": seconds, "all of it": f"{time.perf_counter() - began:.1f} s"}


def start_tuner(folder: str) -> dict[str, Any]:
    sweep = [
        "sweeps/digits.yaml",
        "--out",
        folder,
        "--set",
        "budget.trials=2",
        "--set",
        "budget.iterations=20",
    ]
    return first_result(["-m", "tuner.cli", "run", *sweep], "best val_accuracy")


def command_line(arguments: list[str]) -> dict[str, Any]:
    import subprocess
    import sys

    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return {}


# Lanes on a device.


def lanes_on_device(kind: str, lanes: int, processes: int = 1) -> dict[str, Any]:
    """Return the seconds for 1,000 epochs of one model when ``lanes`` models are trained as one.

    It uses the accelerator, or else one core. ``processes`` is the number of processes that do this at once.
    """
    import torch

    from trainables.models.cnn import CNN
    from trainables.models.mlp import MLP
    from trainables.stacking import stack
    from trainables.stacking.record import StackingRecord
    from trainables.torch.devices import Devices
    from trainables.training import loop

    torch.set_num_threads(1)
    trainable, own = {"mlp": (MLP, {"hidden": 128}), "cnn": (CNN, {"channels": 8})}[kind]
    device = "cuda" if torch.cuda.is_available() else "cpu"
    configs = [
        {**own, "dataset": "digits", "batch_size": 128, "seed": seed, "sweep_seed": 0}
        for seed in range(lanes)
    ]
    # Without Ray, no device is assigned.
    setattr(Devices, "granted", lambda self, resources: torch.device(device))  # noqa: B010
    learners = trainable._learners(configs)
    record = StackingRecord()
    advance = (lambda: loop.advance(learners[0])) if lanes == 1 else (lambda: stack.advance(learners, record))
    advance()  # warm-up: loads libraries and data and creates the device's context
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    _await_all()
    began, epochs = time.perf_counter(), 0
    while epochs < 3 or time.perf_counter() - began < 3:
        advance()
        epochs += 1
    seconds = 1000 * (time.perf_counter() - began) / epochs / lanes
    if device == "cpu":
        return {"seconds": seconds, "device": device}
    _await_all()
    free, total = torch.cuda.mem_get_info()
    _await_all()  # none may free its memory before all have measured
    return {
        "seconds": seconds,
        "device": torch.cuda.get_device_name(),
        "MiB of tensors per lane": round(torch.cuda.max_memory_allocated() / 2**20 / lanes, 2),
        # Includes each process's context and the memory of other programs.
        "MiB of the device per lane": round((total - free) / 2**20 / lanes / processes, 2),
    }


_BARRIERS: list[Any] = []  # the barrier at which parallel processes wait for each other


def _join(barrier: Any) -> None:
    _BARRIERS.append(barrier)


def _await_all() -> None:
    for barrier in _BARRIERS:
        barrier.wait(timeout=600)  # seconds; a timeout means that another process failed


def epochs_of_the_loop(kind: str, loop_name: str) -> dict[str, Any]:
    """Return the seconds for 100 epochs by the trainable's loop or by a bare one, on one core.

    The loops take turns. Both train the same model on the same rows with Adam, and evaluate loss and accuracy
    after each epoch.
    """
    import copy

    import torch
    from torch.nn import functional

    from trainables.models.cnn import CNN
    from trainables.models.mlp import MLP
    from trainables.training import loop

    torch.set_num_threads(1)
    trainable, own = {"mlp": (MLP, {"hidden": 128}), "cnn": (CNN, {"channels": 8})}[kind]
    [learner] = trainable._learners([{**own, "dataset": "digits", "batch_size": 64}])
    (features, targets), (inputs, wanted) = learner.training, learner.validation
    network = copy.deepcopy(learner.network)
    optimizer = torch.optim.Adam(network.parameters(), lr=learner.config.lr)

    def bare() -> None:
        network.train()
        total = 0.0
        for rows in torch.randperm(len(targets)).split(64):
            optimizer.zero_grad()
            loss = functional.cross_entropy(network(features[rows]), targets[rows])
            loss.backward()
            optimizer.step()
            total += loss.item() * len(rows)
        network.eval()
        with torch.no_grad():
            outputs = network(inputs)
            functional.cross_entropy(outputs, wanted).item()
            (outputs.argmax(1) == wanted).float().mean().item()

    runs = {"bare": bare, "tuner": lambda: loop.advance(learner)}
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for epoch in range(120):
        for name, run in runs.items():
            began = time.perf_counter()
            run()
            if epoch >= 20:
                seconds[name].append(time.perf_counter() - began)
    typical = {name: float(np.median(times)) for name, times in seconds.items()}
    return {"seconds": 100 * typical[loop_name], "tuner / bare": round(typical["tuner"] / typical["bare"], 3)}


def processes_on_device(kind: str, processes: int) -> dict[str, Any]:
    """Run ``lanes_on_device`` in several processes that train one model each, and return their common rate.

    The clock starts when all processes are ready.
    """
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    context = multiprocessing.get_context("spawn")
    ready = (context.Barrier(processes),)
    with ProcessPoolExecutor(processes, mp_context=context, initializer=_join, initargs=ready) as pool:
        every: list[list[Any]] = [[kind] * processes, [1] * processes, [processes] * processes]
        notes = list(pool.map(lanes_on_device, *every))
    rate = sum(1 / note["seconds"] for note in notes)
    return {**notes[0], "seconds": 1 / rate}


def device_cases(kind: str) -> tuple[Case, ...]:
    return (
        *(
            Case(f"{n} processes", "one model each", partial(_device, processes_on_device, kind, n), cpus=0)
            for n in (2, 8)
        ),
        *(
            Case(f"{n} lanes", "one process, one thread", partial(_device, lanes_on_device, kind, n), cpus=0)
            for n in (256, 64, 8, 1)
        ),
    )


def loading(name: str, folder: str, **parts: Any) -> dict[str, Any]:
    from benchmarks import loading as cases  # imports PyTorch, which other cases must not

    notes: dict[str, Any] = getattr(cases, name)(folder, **parts)
    return notes


def loop_cases(kind: str) -> tuple[Case, ...]:
    return (
        Case(
            "bare loop", "PyTorch as documented", partial(_device, epochs_of_the_loop, kind, "bare"), cpus=0
        ),
        Case(
            "tuner",
            "trainables.training.loop.advance",
            partial(_device, epochs_of_the_loop, kind, "tuner"),
            cpus=0,
        ),
    )


def _device(function: Any, kind: str, what: Any, folder: str) -> dict[str, Any]:
    return dict(function(kind, what))


COMPARISONS = {
    "trivial": Comparison(
        f"{TRIVIAL} trials of one empty iteration, two at once: the overhead of a trial",
        (
            Case(
                "ray default",
                "Tuner.fit, one process per trial, no loggers",
                lambda f: trivial_ray(f, reuse=False),
            ),
            Case("ray reuse_actors", "the same with reuse_actors", lambda f: trivial_ray(f, reuse=True)),
            Case("optuna", "study.optimize in process, one at a time", trivial_optuna, cpus=0),
            Case("tuner", "two workers", trivial_tuner),
        ),
    ),
    "model-based": Comparison(
        "16 trials of 2 s on 4 workers with a model-based searcher (Ray issue 46965)",
        (
            Case("ray OptunaSearch", "as documented, max_concurrent_trials not set", model_based_ray, cpus=4),
            Case("tuner random", "four workers", lambda f: model_based_tuner(f, "random"), cpus=4),
            Case("tuner optuna", "four workers", lambda f: model_based_tuner(f, "optuna"), cpus=4),
        ),
    ),
    "digits-fifo": Comparison(
        f"{NETWORKS} networks 64-{HIDDEN}-10 on digits, {EPOCHS} epochs each, two cores",
        (
            Case(
                "ray default",
                "one process per trial, no loggers",
                lambda f: digits_ray(f, reuse=False, asha=False),
            ),
            Case("ray reuse_actors", "with reuse_actors", lambda f: digits_ray(f, reuse=True, asha=False)),
            Case(
                "optuna 1 job", "study.optimize, random sampler", lambda f: digits_optuna(f, jobs=1), cpus=0
            ),
            Case("optuna 2 jobs", "n_jobs=2 (threads)", lambda f: digits_optuna(f, jobs=2), cpus=0),
            Case("serial loop", "bare PyTorch, one thread", digits_serial, cpus=0),
            Case("vmap by hand", "all networks stacked, two threads", digits_vmap, cpus=0),
            Case("tuner 1 lane", "two workers", lambda f: digits_tuner(f, lanes=1, scheduler="fifo")),
            Case("tuner 32 lanes", "two workers", lambda f: digits_tuner(f, lanes=32, scheduler="fifo")),
            Case(
                "tuner", "two workers, lanes: auto", lambda f: digits_tuner(f, lanes="auto", scheduler="fifo")
            ),
        ),
    ),
    "digits-asha": Comparison(
        "the same with successive halving (reduction factor 3)",
        (
            Case("ray default", "ASHAScheduler", lambda f: digits_ray(f, reuse=False, asha=True)),
            Case("ray reuse_actors", "ASHAScheduler", lambda f: digits_ray(f, reuse=True, asha=True)),
            Case(
                "optuna 1 job",
                "SuccessiveHalvingPruner, random sampler",
                lambda f: digits_optuna(f, jobs=1, asha=True),
                cpus=0,
            ),
            Case(
                "optuna 2 jobs",
                "the same with n_jobs=2 (threads)",
                lambda f: digits_optuna(f, jobs=2, asha=True),
                cpus=0,
            ),
            Case("tuner 1 lane", "asha", lambda f: digits_tuner(f, lanes=1, scheduler="asha")),
            Case("tuner", "asha, lanes: auto", lambda f: digits_tuner(f, lanes="auto", scheduler="asha")),
        ),
    ),
    "results": Comparison(
        f"4 trials of {RESULTS} empty iterations, two at once: 4,000 results, with the journal on",
        (
            Case("ray reuse_actors", "no loggers", results_ray),
            Case("tuner", "two workers, every result in the journal", results_tuner),
        ),
    ),
    "start": Comparison(
        "from a cold start to the first result of the digits network, Ray's own start included",
        (
            Case(
                "ray tune",
                "a script as documented",
                lambda f: first_result(["-c", FIRST_RESULT, f], "first result"),
                cpus=0,
            ),
            Case("tuner", "tuner run", start_tuner, cpus=0),
        ),
    ),
    "command line": Comparison(
        "time of commands that should answer at once",
        (
            Case("import ray.tune", "python -c", lambda f: command_line(["-c", "import ray.tune"]), cpus=0),
            Case("import torch", "python -c", lambda f: command_line(["-c", "import torch"]), cpus=0),
            Case("tuner --help", "", lambda f: command_line(["-m", "tuner.cli", "--help"]), cpus=0),
        ),
    ),
    "lanes-mlp": Comparison(
        "1,000 epochs of the network of digits-fifo, several models at a time", device_cases("mlp")
    ),
    "lanes-cnn": Comparison("1,000 epochs of a convolutional network on digits", device_cases("cnn")),
    "loading": Comparison(
        "16 trials of 2 epochs on a CSV file of 20,000 rows and 100 columns, two at once; who reads it?",
        (
            Case(
                "ray default",
                "each trial reads the file",
                lambda f: loading("ray", f, shared=False, reuse=False),
            ),
            Case(
                "ray with_parameters",
                "the driver reads it, reuse_actors",
                lambda f: loading("ray", f, shared=True, reuse=True),
            ),
            Case("tuner", "two workers, 1 lane", lambda f: loading("tuner", f)),
        ),
    ),
    "loop-mlp": Comparison(
        "100 epochs of the network of digits-fifo with Adam, the two loops taking turns", loop_cases("mlp")
    ),
    "loop-cnn": Comparison("the same for a convolutional network", loop_cases("cnn")),
    "memory": Comparison(
        "4,000 trials in one sweep (Ray issue 64231)", (Case("tuner", "two workers", memory_tuner),)
    ),
}
