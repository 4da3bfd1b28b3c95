"""Trials that know their whole history, for tests of what survives a crash."""

import json
import os
import shutil
import signal
from pathlib import Path

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


def kill_at(kind, number, *, before):
    """Let this process be killed before or after it writes the ``number``-th event of a kind."""
    from tuner.journal import Journal

    write = Journal.write
    seen = 0

    def writing(self, what, trial=None, /, **data):
        nonlocal seen
        seen += what == kind
        if before and what == kind and seen == number:
            os.kill(os.getpid(), signal.SIGKILL)
        write(self, what, trial, **data)
        if what == kind and seen == number:
            os.kill(os.getpid(), signal.SIGKILL)

    Journal.write = writing
