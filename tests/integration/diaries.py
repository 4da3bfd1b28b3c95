"""Trials that know their whole history, for tests of what survives a crash."""

import json
import os
import shutil
import signal
import time
from pathlib import Path
from typing import ClassVar

from ray.tune import Trainable


class Diary(Trainable):
    """Its loss depends on each x that it was trained with; ``ballast`` is how many bytes it saves."""

    def setup(self, config):
        self.x = config["x"]
        self.history = []

    def step(self):
        self.history.append(self.x)
        return {"loss": sum((x - 0.3) ** 2 + 1 / n for n, x in enumerate(self.history, start=1)) / 9}

    def save_checkpoint(self, checkpoint_dir):
        Path(checkpoint_dir, "history.json").write_text(json.dumps(self.history))
        Path(checkpoint_dir, "ballast").write_bytes(b"\1" * self.config.get("ballast", 0))

    def load_checkpoint(self, checkpoint_dir):
        self.history = json.loads(Path(checkpoint_dir, "history.json").read_text())


class Remembering(Diary):
    """Its checkpoint brings back the x of the trial that wrote it; ``apply_config`` gives it its own."""

    def step(self):
        return {**super().step(), "x": self.x, "configured": self.config["x"]}

    def save_checkpoint(self, checkpoint_dir):
        super().save_checkpoint(checkpoint_dir)
        Path(checkpoint_dir, "x").write_text(repr(self.x))

    def load_checkpoint(self, checkpoint_dir):
        super().load_checkpoint(checkpoint_dir)
        self.x = float(Path(checkpoint_dir, "x").read_text())

    def apply_config(self, config):
        self.x = config["x"]


class Burning(Diary):
    """Its third step takes the whole results folder away."""

    def step(self):
        if len(self.history) == 2:
            shutil.rmtree(self.config["folder"])
        return super().step()


class Ripping(Diary):
    """Removes its own checkpoint as soon as it is saved, once in its life."""

    def save_checkpoint(self, checkpoint_dir):
        super().save_checkpoint(checkpoint_dir)
        marker = Path(self.config["folder"], f"{self.x}.ripped")
        if not marker.exists():
            marker.touch()
            self.ripped = True

    def cleanup(self):
        if getattr(self, "ripped", False):
            for path in Path(self.config["folder"]).glob(f"*/checkpoints/{self.trial_id}/checkpoint_*/*"):
                path.write_text("")


class Lasting(Diary):
    """Each step takes 50 ms; it logs its process and its steps."""

    def step(self):
        time.sleep(0.05)
        with Path(self.config["folder"], f"{self.x}.log").open("a") as file:
            file.write(f"{os.getpid()} {len(self.history) + 1}\n")
        return super().step()


class Failing(Lasting):
    """Raises an OSError at each iteration of ``fails_at``, the first ``times`` times that it comes there."""

    def step(self):
        iteration = len(self.history) + 1
        marks = list(Path(self.config["folder"]).glob(f"{self.x}.{iteration}.*"))
        if iteration in self.config["fails_at"] and len(marks) < self.config["times"]:
            Path(self.config["folder"], f"{self.x}.{iteration}.{len(marks)}").touch()
            raise OSError("the network is gone")
        return super().step()


class DyingOften(Lasting):
    """Takes its process along once at each third iteration."""

    def step(self):
        marker = Path(self.config["folder"], f"{self.x}.{len(self.history)}.died")
        if len(self.history) % 3 == 2 and not marker.exists():
            marker.touch()
            os._exit(1)
        return super().step()


class DyingAsItIsSaved(Diary):
    """Takes its process along, once, as it is saved after each third iteration."""

    def save_checkpoint(self, checkpoint_dir):
        marker = Path(self.config["folder"], f"{self.x}.{len(self.history)}.died")
        if len(self.history) % 3 == 0 and not marker.exists():
            marker.touch()
            os._exit(1)
        super().save_checkpoint(checkpoint_dir)


class Unsociable(Trainable):
    """Cannot be set up twice in one process."""

    process: ClassVar[int] = 0

    def setup(self, config):
        if Unsociable.process == os.getpid():
            raise RuntimeError("this can be done only once")
        Unsociable.process = os.getpid()

    def step(self):
        return {"loss": 1.0, "process": os.getpid()}


def kill_at(kind, number, *, before):
    """Let this process be killed before or after it writes the ``number``-th event of a kind."""
    from tuner.journal import Journal

    write = Journal.write
    seen = 0

    def writing(self, event):
        nonlocal seen
        seen += event.kind == kind
        if before and event.kind == kind and seen == number:
            os.kill(os.getpid(), signal.SIGKILL)
        write(self, event)
        if event.kind == kind and seen == number:
            os.kill(os.getpid(), signal.SIGKILL)

    Journal.write = writing
