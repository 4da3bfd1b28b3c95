"""Weights & Biases: a group per sweep, with a run for the sweep itself and one per trial."""

from __future__ import annotations

import netrc
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import Field

from tuner.errors import Problem
from tuner.logger import Identity, TrackerSpec
from tuner.trackers.sender import Checkpoint
from tuner.trackers.updates import RunUpdate

if TYPE_CHECKING:
    from wandb import Run

_MAX_OPEN = 32
"""Maximum number of open runs. Each has threads and a file."""

_MAX_TAG = 64
"""W&B's limit of a tag, in characters."""

_STEP = "iteration"
"""The metric that charts have as their x-axis. W&B's own step only counts the points of a run."""

_CREDENTIALS = ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE")


class WandbSpec(TrackerSpec):
    """Weights & Biases, in the cloud, on a server of your own, or offline."""

    kind: ClassVar[str] = "wandb"
    library: ClassVar[str] = "wandb"
    extra: ClassVar[str] = "wandb"

    project: str | None = Field(
        default=None,
        description="name of the project; none: WANDB_PROJECT, or the sweep's name without a final number",
    )
    entity: str | None = Field(
        default=None, description="user or team; none: WANDB_ENTITY, or the default of your account"
    )
    mode: Literal["online", "offline"] | None = Field(
        default=None,
        description="offline: write files that 'wandb sync' uploads later; none: WANDB_MODE, or online",
    )
    dir: str | None = Field(
        default=None, description="folder in which W&B makes its folder wandb; none: the results folder"
    )

    def problems(self) -> list[Problem]:
        found = super().problems()
        if not found and not self.is_offline and not _has_credentials():
            what = "W&B has no API key; run 'wandb login', set WANDB_API_KEY, or write"
            found.append(Problem("", f"{what} {{kind: wandb, mode: offline}}"))
        return found

    @property
    def is_offline(self) -> bool:
        """Whether W&B only writes files."""
        return (self.mode or os.environ.get("WANDB_MODE")) in ("offline", "dryrun")

    def destination(self, identity: Identity) -> str:
        if self.is_offline:
            folder = self.dir or "the results folder"
            return f"project '{self._project(identity)}' of W&B, offline in {folder}"
        place = "/".join(filter(None, (self._entity(), self._project(identity))))
        return f"project '{place}' of W&B at {_address()}"

    def open(self, identity: Identity) -> WandbTracker:
        arguments = {
            "project": self._project(identity),
            "entity": self._entity(),
            "mode": "offline" if self.is_offline else "online",
            "dir": str(Path(self.dir).expanduser() if self.dir is not None else identity.folder),
        }
        return WandbTracker(identity, arguments)

    def _project(self, identity: Identity) -> str:
        return self.project or os.environ.get("WANDB_PROJECT") or identity.series

    def _entity(self) -> str | None:
        return self.entity or os.environ.get("WANDB_ENTITY")


class WandbTracker:
    """Writes runs through W&B's library, which sends them in the background until a run is finished."""

    confirms = False

    def __init__(self, identity: Identity, arguments: dict[str, Any]) -> None:
        self._identity = identity
        self._arguments = arguments
        self._runs: dict[int | None, Run] = {}  # open runs, the most recently used last

    def is_empty(self) -> bool:
        return False  # W&B is not asked, and files may have been uploaded and cleaned up

    def send(self, updates: Sequence[RunUpdate], *, verify: bool) -> None:
        for update in updates:
            run = self._open(update)
            arrived = self._last_point(run) if verify else 0
            for point in update.points:
                if point.number > arrived:
                    row = {**point.metrics, _STEP: point.step, "_timestamp": point.time}
                    run.log(row, step=point.number, commit=True)
            if update.changed:
                run.config.update(dict(update.changed), allow_val_change=True)
            run.summary.update({**update.summary, **update.tags})
            run.tags = _tags(update)
            if update.ended is not None:
                self._finish(update.trial, failed=update.state in ("failed", "failures"))

    def send_checkpoint(self, best: Checkpoint) -> None:
        from wandb import Artifact

        artifact = Artifact(f"{self._identity.name}-checkpoint", type="model")
        artifact.metadata = {"sweep": self._identity.id, "trial": best.path.parent.name}
        artifact.add_dir(str(best.path))
        run = self._runs.get(None) or self._init(None, self._identity.name, {})
        run.log_artifact(artifact)
        run.summary.update({"best_trial": best.path.parent.name, "best_run_id": self._id(best.trial)})
        self._finish(None, failed=False)

    def close(self) -> None:
        for trial in list(self._runs):
            self._finish(trial, failed=False)

    def _id(self, trial: int | None) -> str:
        return f"{self._identity.id}-{'sweep' if trial is None else f'{trial:05d}'}"

    def _open(self, update: RunUpdate) -> Run:
        run = self._runs.pop(update.trial, None)
        if run is None:
            if len(self._runs) >= _MAX_OPEN:
                self._finish(next(iter(self._runs)), failed=False)
            run = self._init(update.trial, update.name, dict(update.params))
        self._runs[update.trial] = run
        return run

    def _init(self, trial: int | None, name: str, config: dict[str, Any]) -> Run:
        import wandb

        settings = wandb.Settings(
            console="off",
            silent=True,
            disable_git=True,
            disable_code=True,
            x_disable_stats=True,  # the trials run in other processes
            x_disable_meta=True,
        )
        run = wandb.init(
            **self._arguments,
            id=self._id(trial),
            name=name,
            group=f"{self._identity.name}-{self._identity.id}",
            job_type="sweep" if trial is None else "trial",
            config=config,
            resume="allow",
            reinit="create_new",
            settings=settings,
        )
        run.define_metric(_STEP, hidden=True)
        run.define_metric("*", step_metric=_STEP)
        self._runs[trial] = run
        return run

    def _finish(self, trial: int | None, *, failed: bool) -> None:
        self._runs.pop(trial).finish(exit_code=1 if failed else 0)

    def _last_point(self, run: Run) -> int:
        """Return the number of the last point of a run that has arrived; 0: none."""
        if self._arguments["mode"] == "online":
            return run.step - 1 if run.resumed else 0  # W&B has told the step at which the run continues
        folder = Path(self._arguments["dir"]) / "wandb"
        steps = (
            record.history.step.num
            for path in folder.glob(f"*run-*-{run.id}/run-{run.id}.wandb")
            for record in records(path)
            if record.WhichOneof("record_type") == "history"
        )
        return max(steps, default=0)


def _tags(update: RunUpdate) -> tuple[str, ...]:
    """Return the labels of a run: its state and its rung."""
    rung = update.tags.get("rung")
    labels = [update.tags["state"], *([f"rung {rung}"] if rung else [])]
    return tuple(label[:_MAX_TAG] for label in labels)


def _address() -> str:
    from wandb import Settings

    return str(Settings().base_url)


def _has_credentials() -> bool:
    """Return whether the user has logged in. W&B may still refuse the key."""
    if any(os.environ.get(name) for name in _CREDENTIALS):
        return True
    path = Path(os.environ.get("NETRC") or "~/.netrc").expanduser()
    try:
        return netrc.netrc(path).authenticators(urlsplit(_address()).hostname or "") is not None
    except (OSError, netrc.NetrcParseError):
        return False


_BLOCK, _HEADER = 32768, 7
_WHOLE, _LAST = 1, 4


def records(path: Path) -> Iterator[Any]:
    """Yield the records of a ``.wandb`` file. A kill may have cut the last one off.

    After a header of 7 bytes, the file has blocks of 32 KiB. A record is one or more chunks, none of which
    crosses a block: a checksum (4 bytes), a length (2), the kind of the chunk (1), and the content.
    """
    from wandb.proto.wandb_internal_pb2 import Record

    data = path.read_bytes()
    start, content = _HEADER, b""
    while start + _HEADER <= len(data):
        if (left := _BLOCK - start % _BLOCK) < _HEADER:  # padding
            start += left
            continue
        length, kind = int.from_bytes(data[start + 4 : start + 6], "little"), data[start + 6]
        chunk = data[start + _HEADER : start + _HEADER + length]
        if kind == 0 or len(chunk) < length:
            return
        start += _HEADER + length
        content += chunk
        if kind in (_WHOLE, _LAST):
            yield Record.FromString(content)
            content = b""
