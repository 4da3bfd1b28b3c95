"""Trainables that behave badly on purpose, for tests on a real cluster."""

import json
import os
import tempfile
import threading
import time
from pathlib import Path
from typing import ClassVar

import numpy as np
import ray
from ray import tune
from ray.tune import PlacementGroupFactory, Trainable


class Toy(Trainable):
    """A parabola with its minimum at x = 0.3, approached over the iterations.

    An x above 0.6 reports invalid results.
    """

    def setup(self, config):
        self.x = config["x"]
        self.steps = 0

    def step(self):
        self.steps += 1
        time.sleep(0.05)
        loss = (self.x - 0.3) ** 2 + 1 / self.steps
        if self.x > 0.6:
            return [{"loss": float("nan")}, {"other": 1.0}, {"loss": "low"}][int(self.x * 1000) % 3]
        return {"loss": loss}

    def save_checkpoint(self, checkpoint_dir):
        Path(checkpoint_dir, "steps.json").write_text(json.dumps(self.steps))

    def load_checkpoint(self, checkpoint_dir):
        self.steps = json.loads(Path(checkpoint_dir, "steps.json").read_text())


class Laned(Toy):
    """Several trials train together in one process; if x is at most 0.4, their results hold the number."""

    together = 1

    def fusion_key(self):
        return "left" if self.x <= 0.4 else None

    @classmethod
    def fused_step(cls, trials):
        for trial in trials:
            trial.together = len(trials)

    def step(self):
        together, self.together = self.together, 1
        return {**super().step(), "together": together}

    @classmethod
    def best_lanes(cls, configs, *, most):
        return min(most, 3)


class Steady(Toy):
    """A trainable without delays whose loss depends only on the current x and the iteration."""

    def step(self):
        self.steps += 1
        return {"loss": steady(self.x, self.steps)}


def steady(x, iteration):
    return float("nan") if x > 0.9 else (x - 0.3) ** 2 + (1 + x) / iteration


class TwoGoals(Toy):
    """Two parabolas with different minima; both losses only decrease over the iterations."""

    def step(self):
        self.steps += 1
        return {"loss": (self.x - 0.3) ** 2 + 1 / self.steps, "size": (self.x - 0.7) ** 2 + 1 / self.steps}


class Lineage(Laned):
    """The state is the list of all x values that the weights were trained with, in any trial."""

    def setup(self, config):
        super().setup(config)
        self.history = []

    def step(self):
        self.history.append(self.x)
        together, self.together = self.together, 1
        return {
            "loss": sum((x - 0.3) ** 2 for x in self.history),
            "history": json.dumps(self.history),
            "lanes": together,
        }

    def save_checkpoint(self, checkpoint_dir):
        Path(checkpoint_dir, "history.json").write_text(json.dumps(self.history))

    def load_checkpoint(self, checkpoint_dir):
        self.history = json.loads(Path(checkpoint_dir, "history.json").read_text())


class DyingLane(Laned):
    """One trial kills the process, once or ``always``. The others in it must be started again."""

    def setup(self, config):
        super().setup(config)
        self.marker = Path(config["folder"], "died")
        self.deadly = config["x"] == config["deadly"]
        self.always = config.get("always", False)

    def step(self):
        if self.deadly and self.steps == 2 and (self.always or not self.marker.exists()):
            self.marker.touch()
            os._exit(1)
        return super().step()


class Crowded(Laned):
    """The device has memory for ``room`` trials of a process, and none for the trial with x = ``giant``.

    Memory runs out ``when`` one trial too many is set up, or is trained.
    """

    open: ClassVar[set[Trainable]] = set()

    def setup(self, config):
        super().setup(config)
        self.room, self.when, self.giant = config["room"], config["when"], config["x"] == config.get("giant")
        if self.when == "set up":
            self._take(len(self.open) + 1)
        self.open.add(self)

    def step(self):
        if self.when == "trained" and self.steps == 1:
            self._take(len(self.open))
        return {**super().step(), "process": os.getpid()}

    def cleanup(self):
        self.open.discard(self)

    def _take(self, number):
        import torch

        if number > self.room or self.giant:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


class WithoutCheckpoints(Trainable):
    """A trainable that cannot be saved, so a pause makes it start over."""

    def setup(self, config):
        self.x = config["x"]
        self.steps = 0

    def step(self):
        self.steps += 1
        return {"loss": self.x + 1 / self.steps}


class Raising(Toy):
    def step(self):
        if self.x < 0.5:
            raise OSError("the disk of this trial is full")
        return {"loss": self.x}


class RaisingInSetup(Trainable):
    def setup(self, config):
        raise RuntimeError("no such model")

    def step(self):
        raise AssertionError("never reached")


class Dying(Toy):
    """Iteration 3 kills the process: once per folder, or always if x is below 0.5."""

    def setup(self, config):
        super().setup(config)
        self.marker = Path(config["folder"], f"{self.x}.died")

    def step(self):
        self.steps += 1
        if self.steps == 3 and (self.x < 0.5 or not self.marker.exists()):
            self.marker.touch()
            os._exit(1)
        return {"loss": self.x + 1 / self.steps}


class Process(Trainable):
    """Report properties of the process."""

    def setup(self, config):
        import torch

        self.torch = torch
        self.config = config

    def step(self):
        return {
            "loss": 0.0,
            "threads": self.torch.get_num_threads(),
            "process": os.getpid(),
            "seed": self.config["seed"],
            "sweep_seed": self.config["sweep_seed"],
            "folder": os.getcwd(),
        }


class ProcessInLanes(Process):
    """Report the same, where trials could share a process."""

    @classmethod
    def fused_step(cls, trials):
        pass

    @classmethod
    def best_lanes(cls, configs, *, most):
        return most

    def fusion_key(self):
        return None


class Broken(ProcessInLanes):
    """The measurement of lanes leaves the process without its device."""

    @classmethod
    def best_lanes(cls, configs, *, most):
        import torch

        def synchronize():
            raise torch.AcceleratorError("device-side assert triggered")

        torch.cuda.is_initialized = lambda: True
        setattr(torch.cuda, "synchronize", synchronize)  # noqa: B010  # in this process, which is broken
        Path(configs[0]["folder"], f"{os.getpid()}.broken").touch()
        return 3


class Together(Trainable):
    """The first step waits until this number of trials have reached theirs."""

    def setup(self, config):
        self.folder = Path(config["folder"])
        self.marker = self.folder / f"{config['x']}.here"
        self.together = config["together"]

    def step(self):
        self.marker.touch()
        until = time.monotonic() + 60
        while len(list(self.folder.glob("*.here"))) < self.together:
            if time.monotonic() > until:
                raise TimeoutError(f"{self.together} trials never ran at once")
            time.sleep(0.02)
        return {"loss": 0.0}


class TogetherOnDevices(Together):
    """Report which GPUs the process sees."""

    def step(self):
        devices = os.environ.get("CUDA_VISIBLE_DEVICES")
        return {**super().step(), "devices": devices, "process": os.getpid()}


class SlowToStart(Toy):
    """Workers take two seconds to be ready."""

    @classmethod
    def shared(cls, settings, *, sweep_seed):
        return None

    @classmethod
    def adopt(cls, settings, shared, *, sweep_seed):
        time.sleep(2)


class DyingAtStart(SlowToStart):
    """Workers die before they are ready."""

    @classmethod
    def adopt(cls, settings, shared, *, sweep_seed):
        os._exit(1)


class Slow(Toy):
    def step(self):
        time.sleep(0.1)
        return super().step()


def reports(config):
    for step in range(1, 30):
        tune.report({"loss": config["x"] + 1 / step})


def ends_by_itself(config):
    for step in range(1, 4):
        tune.report({"loss": config["x"] + 1 / step})


def returns_only(config):
    return {"loss": config["x"]}


def reports_nothing(config):
    pass


def slow_between_reports(config):
    """Report twice, then hang for a long time."""
    tune.report({"loss": config["x"] + 1.0})
    tune.report({"loss": config["x"]})
    time.sleep(60)


def with_checkpoints(config):
    start = 0
    if (checkpoint := tune.get_checkpoint()) is not None:
        with checkpoint.as_directory() as folder:
            start = json.loads(Path(folder, "step.json").read_text())
    for step in range(start + 1, 28):
        folder = Path(config["folder"], f"{config['x']}-{step}")
        folder.mkdir(exist_ok=True)
        (folder / "step.json").write_text(json.dumps(step))
        with Path(config["folder"], f"{config['x']}.steps").open("a") as log:
            log.write(f"{step}\n")
        tune.report({"loss": config["x"] + 1 / step}, checkpoint=tune.Checkpoint.from_directory(folder))


class Rising(Toy):
    """The objective improves with every iteration; a checkpoint holds the number of iterations."""

    def step(self):
        self.steps += 1
        return {"loss": self.x + 1 / self.steps}


class LeadsThenFails(Toy):
    """A trial with x below 0.5 leads at once and fails at its third iteration."""

    def step(self):
        self.steps += 1
        if self.x < 0.5 and self.steps == 3:
            raise RuntimeError("too good to be true")
        return {"loss": self.x}


class Unreadable:
    """An object that no other process can unpickle."""

    def __reduce__(self):
        return (Unreadable._fail, ())

    @staticmethod
    def _fail():
        raise RuntimeError("cannot be read")

    def item(self):
        raise RuntimeError("is no number")


def odd_metrics(config):
    import numpy as np

    for _ in range(3):
        tune.report(
            {
                "loss": np.float32(config["x"]),
                "training_iteration": 0,
                "huge": 10**400,
                "infinite": float("inf"),
                "array": np.ones(3),
                "object": Unreadable(),
                "text": "fine",
                **{label: 0.5 for label in np.array([0, 1])},
                (1, 2): 3,
            }
        )


def leaves_traces(config):
    """Fail if the previous trial left traces in the process."""
    trace = os.environ.get("TRACE")
    if trace is not None or os.getcwd() == "/":
        raise RuntimeError("an earlier trial left traces here")
    os.environ["TRACE"] = "x"
    os.chdir("/")
    tune.report({"loss": config["x"]})


class Sharing(Toy):
    """Trials report which process created their shared data."""

    @classmethod
    def shared(cls, settings, *, sweep_seed):
        return {"maker": os.getpid(), "settings": settings, "sweep_seed": sweep_seed}

    @classmethod
    def adopt(cls, settings, shared, *, sweep_seed):
        assert (settings, sweep_seed) == (shared["settings"], shared["sweep_seed"])
        cls.adopted = shared

    def step(self):
        return {"loss": self.x, "maker": self.adopted["maker"]}


class SharingALock(Sharing):
    """The shared object is a lock, which cannot leave its process."""

    @classmethod
    def shared(cls, settings, *, sweep_seed):
        return threading.Lock()


class Leaking(Laned):
    """The class keeps memory of each ended trial."""

    kept: ClassVar[list[np.ndarray]] = []

    def step(self):
        self.steps += 1
        time.sleep(0.02)
        return {"loss": self.x + 1 / self.steps, "process": os.getpid()}

    def cleanup(self):
        self.kept.append(np.ones(self.config["keeps"] // 8))


class Hungry(Leaking):
    """Trials need much memory, which only the garbage collector can free."""

    def setup(self, config):
        super().setup(config)
        self.held = np.ones(config["keeps"] // 8)
        self.me = self

    def cleanup(self):
        pass


class Swelling(Leaking):
    """Trials of different lengths.

    Each group of four needs more memory than the last, up to the fifth group.
    """

    def setup(self, config):
        super().setup(config)
        number = round(self.x * (config["trials"] - 1))
        self.length = 4 + number % 4
        self.held = np.ones(config["keeps"] // 8 * min(number // 4, 4))

    def step(self):
        return {**super().step(), "done": self.steps >= self.length}

    def cleanup(self):
        pass


class Spread(Toy):
    """Request two bundles, the second sized by x, and start a task in the placement group."""

    @classmethod
    def default_resource_request(cls, config):
        return PlacementGroupFactory([{"CPU": 1}, {"CPU": 1 if config["x"] < 0.5 else 2}])

    def step(self):
        group = ray.util.get_current_placement_group()
        sizes = [bundle["CPU"] for bundle in group.bundle_specs]
        inside = ray.get(ray.remote(num_cpus=sizes[1])(ray.util.get_current_placement_group).remote())
        granted = self.trial_resources.required_resources["CPU"]
        return {"loss": self.x, "cpus": sum(sizes), "granted": granted, "together": inside == group}


class Sized(Toy):
    """Request one bundle sized by x. With x = ``deadly`` the process dies once."""

    def setup(self, config):
        super().setup(config)
        self.marker = Path(config["folder"], "died")
        self.deadly = config["x"] == config.get("deadly")

    @classmethod
    def default_resource_request(cls, config):
        return PlacementGroupFactory([{"CPU": 2 if config["x"] < 0.5 else 4}])

    def step(self):
        if self.deadly and not self.marker.exists():
            self.marker.write_text(str(os.getpid()))
            os._exit(1)
        [bundle] = ray.util.get_current_placement_group().bundle_specs
        threads = int(os.environ["OMP_NUM_THREADS"])
        return {"loss": self.x, "process": os.getpid(), "cpus": bundle["CPU"], "threads": threads}


class TooSpread(Toy):
    """Request two bundles, each too large for any node."""

    @classmethod
    def default_resource_request(cls, config):
        return PlacementGroupFactory([{"CPU": 1}, {"CPU": 99}])


class TwoGpus(Toy):
    """Request two bundles of a GPU each, although a trial can use only one."""

    most_gpus = 1

    @classmethod
    def default_resource_request(cls, config):
        return PlacementGroupFactory([{"CPU": 1, "GPU": 1}, {"GPU": 1}])


class Wide(Toy):
    """Request two CPUs in one bundle, as if the sweep had asked for them."""

    @classmethod
    def default_resource_request(cls, config):
        return PlacementGroupFactory([{"CPU": 2}])

    def step(self):
        return {"loss": self.x, "process": os.getpid(), "threads": int(os.environ["OMP_NUM_THREADS"])}


class Recorder(tune.Callback):
    """A user's logger that writes one line per call."""

    def __init__(self, path):
        self.path = Path(path)

    def note(self, what, trial):
        with self.path.open("a") as file:
            file.write(f"{what} {trial.trial_id}\n")

    def on_trial_start(self, iteration, trials, trial, **info):
        self.note("start", trial)

    def on_trial_result(self, iteration, trials, trial, result, **info):
        self.note(f"result {result['training_iteration']} {result['loss']}", trial)

    def on_trial_complete(self, iteration, trials, trial, **info):
        self.note("complete", trial)

    def on_trial_error(self, iteration, trials, trial, **info):
        self.note("error", trial)


class Samples(Toy):
    """Results are measured by samples: ten times x per iteration, so x = 0 never progresses."""

    def step(self):
        return {**super().step(), "loss": self.x, "samples": int(self.x * 10) * self.steps}


class Hanging(Laned):
    """One trial never returns from its third iteration. None can be saved."""

    @classmethod
    def fused_step(cls, trials):
        """Train each trial separately."""

    def step(self):
        if self.x == 0 and self.steps == 2:
            time.sleep(600)
        return super().step()


class Counted(Trainable):
    """A quick trainable with a constant loss. A file per trial holds its number of steps."""

    def setup(self, config):
        self.file = Path(config["folder"], f"{config['x']:.3f}")
        self.steps = 0

    def step(self):
        self.steps += 1
        return {"loss": 1.0}

    def save_checkpoint(self, checkpoint_dir):
        Path(checkpoint_dir, "steps").write_text(str(self.steps))

    def cleanup(self):
        self.file.write_text(str(self.steps))


class Tied(Toy):
    """All trials have the same values; the first trial is the slowest to reach them."""

    def step(self):
        self.steps += 1
        time.sleep(0.2 if self.x == 0 else 0.01)
        return {"loss": max(1 / self.steps, 0.25)}


def lineage(config):
    """Train like ``Lineage``, as a function. Without ``saves`` it never reports a checkpoint."""
    history = []
    if (checkpoint := tune.get_checkpoint()) is not None:
        with checkpoint.as_directory() as folder:
            history = json.loads(Path(folder, "history.json").read_text())
    while True:
        history.append(config["x"])
        result = {"loss": sum((x - 0.3) ** 2 for x in history), "history": json.dumps(history)}
        if not config["saves"]:
            tune.report(result)
            continue
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "history.json").write_text(json.dumps(history))
            tune.report(result, checkpoint=tune.Checkpoint.from_directory(folder))
