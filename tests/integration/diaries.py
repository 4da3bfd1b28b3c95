"""Trainables that record their whole history, for tests of what survives a crash."""

import json
import os
import shutil
import signal
import time
from pathlib import Path
from typing import ClassVar

from ray.tune import Trainable


class Diary(Trainable):
    """The loss depends on each x it was trained with; a checkpoint holds ``ballast`` extra bytes."""

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
    """A checkpoint restores the x of the trial that wrote it; ``apply_config`` sets the trial's own."""

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
    """The third step deletes the whole results folder."""

    def step(self):
        if len(self.history) == 2:
            shutil.rmtree(self.config["folder"])
        return super().step()


class Ripping(Diary):
    """The first checkpoint is deleted as soon as it is saved."""

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
    """Each step takes 50 ms and logs its process and number."""

    def step(self):
        time.sleep(0.05)
        with Path(self.config["folder"], f"{self.x}.log").open("a") as file:
            file.write(f"{os.getpid()} {len(self.history) + 1}\n")
        return super().step()


class Failing(Lasting):
    """Each iteration of ``fails_at`` raises an OSError for the first ``times`` attempts."""

    def step(self):
        iteration = len(self.history) + 1
        marks = list(Path(self.config["folder"]).glob(f"{self.x}.{iteration}.*"))
        if iteration in self.config["fails_at"] and len(marks) < self.config["times"]:
            Path(self.config["folder"], f"{self.x}.{iteration}.{len(marks)}").touch()
            raise OSError("the network is gone")
        return super().step()


class DyingOften(Lasting):
    """Every third iteration kills the process at the first attempt."""

    def step(self):
        marker = Path(self.config["folder"], f"{self.x}.{len(self.history)}.died")
        if len(self.history) % 3 == 2 and not marker.exists():
            marker.touch()
            os._exit(1)
        return super().step()


class DyingAsItIsSaved(Diary):
    """The first save after every third iteration kills the process."""

    def save_checkpoint(self, checkpoint_dir):
        marker = Path(self.config["folder"], f"{self.x}.{len(self.history)}.died")
        if len(self.history) % 3 == 0 and not marker.exists():
            marker.touch()
            os._exit(1)
        super().save_checkpoint(checkpoint_dir)


class Unsociable(Trainable):
    """A second set-up in the same process fails."""

    process: ClassVar[int] = 0

    def setup(self, config):
        if Unsociable.process == os.getpid():
            raise RuntimeError("this can be done only once")
        Unsociable.process = os.getpid()

    def step(self):
        return {"loss": 1.0, "process": os.getpid()}


def kill_at(kind, number, *, before):
    """Make this process die before or after it writes the ``number``-th event of a kind (``None``: any)."""
    from tuner.journal import Journal

    write = Journal.write
    seen = 0

    def writing(self, event):
        nonlocal seen
        counts = kind in (None, event.kind)
        seen += counts
        if before and counts and seen == number:
            os.kill(os.getpid(), signal.SIGKILL)
        write(self, event)
        if counts and seen == number:
            os.kill(os.getpid(), signal.SIGKILL)

    setattr(Journal, "write", writing)  # noqa: B010  # this process is killed with it
