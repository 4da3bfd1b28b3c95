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
    """A parabola with its lowest point at x = 0.3, approached over the iterations; some x report rubbish."""

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
    """Several train together in one process; those with x up to 0.4 say so in their results."""

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
    """Loses no time; its loss depends on the present x and the iteration alone."""

    def step(self):
        self.steps += 1
        return {"loss": steady(self.x, self.steps)}


def steady(x, iteration):
    return float("nan") if x > 0.9 else (x - 0.3) ** 2 + (1 + x) / iteration


class TwoGoals(Toy):
    """Two parabolas of different lowest points, which only get better with time."""

    def step(self):
        self.steps += 1
        return {"loss": (self.x - 0.3) ** 2 + 1 / self.steps, "size": (self.x - 0.7) ** 2 + 1 / self.steps}


class Lineage(Laned):
    """What it has learnt is the list of all the x that it was trained with, wherever it was trained."""

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


class SlowLineage(Lineage):
    """Slow enough to be killed in the middle."""

    def step(self):
        time.sleep(0.06)
        return super().step()


class DyingLane(Laned):
    """One trial takes the process along, once or ``always``; the others of it have to be started again."""

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
    """The device has memory for ``room`` trials of a process, and never for one with the x ``giant``.

    It runs out of it ``when`` one too many is set up, or trains.
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
    """It cannot be saved, so a pause makes it start over."""

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
    """Takes its process along at iteration 3: once per folder, or every time where x is below 0.5."""

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
    """Reports what the process looks like."""

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
    """The same where trials could share a process."""

    @classmethod
    def fused_step(cls, trials):
        pass

    @classmethod
    def best_lanes(cls, configs, *, most):
        return most

    def fusion_key(self):
        return None


class Broken(ProcessInLanes):
    """To measure lanes leaves the process without its device."""

    @classmethod
    def best_lanes(cls, configs, *, most):
        import torch

        def synchronize():
            raise torch.AcceleratorError("device-side assert triggered")

        torch.cuda.is_initialized, torch.cuda.synchronize = lambda: True, synchronize
        Path(configs[0]["folder"], f"{os.getpid()}.broken").touch()
        return 3


class Together(Trainable):
    """Its first step waits until so many trials have come to theirs."""

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
    """Says which GPUs its process sees."""

    def step(self):
        devices = os.environ.get("CUDA_VISIBLE_DEVICES")
        return {**super().step(), "devices": devices, "process": os.getpid()}


class SlowToStart(Toy):
    """Its workers take a while to be ready."""

    @classmethod
    def shared(cls, settings, *, sweep_seed):
        return None

    @classmethod
    def adopt(cls, settings, shared, *, sweep_seed):
        time.sleep(2)


class DyingAtStart(SlowToStart):
    """No worker of it ever is."""

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
    """After its second report it does not come back for a long time."""
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
    """Gets better with every iteration; the checkpoint says how many there were."""

    def step(self):
        self.steps += 1
        return {"loss": self.x + 1 / self.steps}


class LeadsThenFails(Toy):
    """x below 0.5 leads at once and fails at its third iteration."""

    def step(self):
        self.steps += 1
        if self.x < 0.5 and self.steps == 3:
            raise RuntimeError("too good to be true")
        return {"loss": self.x}


class Unreadable:
    """No other process can read it."""

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
    """Fails if the trial before it was here."""
    trace = os.environ.get("TRACE")
    if trace is not None or os.getcwd() == "/":
        raise RuntimeError("somebody was here")
    os.environ["TRACE"] = "x"
    os.chdir("/")
    tune.report({"loss": config["x"]})


class Sharing(Toy):
    """Its trials say which process made what they share."""

    @classmethod
    def shared(cls, settings, *, sweep_seed):
        return {"maker": os.getpid(), "settings": settings, "sweep_seed": sweep_seed}

    @classmethod
    def adopt(cls, settings, shared, *, sweep_seed):
        assert (settings, sweep_seed) == (shared["settings"], shared["sweep_seed"])
        cls.handed = shared

    def step(self):
        return {"loss": self.x, "maker": self.handed["maker"]}


class SharingALock(Sharing):
    """A lock belongs to its process."""

    @classmethod
    def shared(cls, settings, *, sweep_seed):
        return threading.Lock()


class Leaking(Laned):
    """Its class keeps memory of each trial that ends."""

    kept: ClassVar = []

    def step(self):
        self.steps += 1
        time.sleep(0.02)
        return {"loss": self.x + 1 / self.steps, "process": os.getpid()}

    def cleanup(self):
        self.kept.append(np.ones(self.config["keeps"] // 8))


class Hungry(Leaking):
    """Needs much memory, and lets go of it only where the garbage collector looks for it."""

    def setup(self, config):
        super().setup(config)
        self.held = np.ones(config["keeps"] // 8)
        self.me = self

    def cleanup(self):
        pass


class Swelling(Leaking):
    """Trials of different lengths; each four need more memory than the four before, up to the fifth four."""

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
    """It asks for two bundles, the size of the second depending on x, and starts a task in the group."""

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
    """It asks for one bundle, whose size depends on x; with x at ``deadly``, its process dies once."""

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
    """Two bundles, of which no node can hold one."""

    @classmethod
    def default_resource_request(cls, config):
        return PlacementGroupFactory([{"CPU": 1}, {"CPU": 99}])


class TwoGpus(Toy):
    """Two bundles of a GPU each, of which it can use one."""

    most_gpus = 1

    @classmethod
    def default_resource_request(cls, config):
        return PlacementGroupFactory([{"CPU": 1, "GPU": 1}, {"GPU": 1}])


class Wide(Toy):
    """It asks for two CPUs in one bundle, which is like writing them in the sweep."""

    @classmethod
    def default_resource_request(cls, config):
        return PlacementGroupFactory([{"CPU": 2}])

    def step(self):
        return {"loss": self.x, "process": os.getpid(), "threads": int(os.environ["OMP_NUM_THREADS"])}


class Recorder(tune.Callback):
    """A logger of a user: one line for all that it is told."""

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
    """It is measured by samples, of which an iteration takes ten times x; with x = 0 they do not rise."""

    def step(self):
        return {**super().step(), "loss": self.x, "samples": int(self.x * 10) * self.steps}


class Hanging(Laned):
    """One of its trials never comes back from its third iteration; none can be saved."""

    @classmethod
    def fused_step(cls, trials):
        """Each for itself, one after the other."""

    def step(self):
        if self.x == 0 and self.steps == 2:
            time.sleep(600)
        return super().step()


class Counted(Trainable):
    """Quick, every result as good as the last; it leaves a file that says how many steps were made of it."""

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
    """All have the same values; the first trial is the slowest, and the last to reach them."""

    def step(self):
        self.steps += 1
        time.sleep(0.2 if self.x == 0 else 0.01)
        return {"loss": max(1 / self.steps, 0.25)}


def lineage(config):
    """``Lineage`` as a function; without ``saves`` it never reports a checkpoint."""
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
