"""``TunerCallback`` for the ``Trainer`` of Hugging Face Transformers 5, and those of TRL derived from it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import transformers
from accelerate.utils import broadcast_object_list

from tuner import client
from tuner.integrations._own_config import apply_own_config, own_config

_CONFIG = "tuner-config.json"
"""The file in a checkpoint with the configuration of the trial that wrote it."""


class TunerCallback(transformers.TrainerCallback):
    """Reports each evaluation with the trainer's own checkpoint; without evaluations, each epoch.

    Start with ``trainer.train(resume_from_checkpoint=tuner.client.checkpoint())``.
    """

    def __init__(self) -> None:
        self._logged: dict[str, float] = {}
        self._metrics: dict[str, float] | None = None  # of an evaluation that has not been reported
        self._output_dir: str | None = None  # the user's, while a checkpoint for the trial is written
        self._is_trial = False
        self._trains = False  # as part of a trial, and a step has begun

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Apply the trial's own hyperparameters. Raises ValueError for arguments that prevent checkpoints."""
        if not client.about():  # outside a sweep there is nothing to do
            return
        if args.save_only_model:
            raise ValueError("save_only_model must be False: a trial continues with its optimizer")
        if args.save_strategy == "best":
            raise ValueError(
                "save_strategy must not be 'best': a paused trial continues from its last result"
            )
        client.should_stop()  # from now on, `report` returns, and the trainer ends itself
        self._is_trial = True
        folder = client.checkpoint()
        if folder is not None and state.global_step:
            saved = json.loads(Path(folder, _CONFIG).read_text(encoding="utf-8"))
            apply_own_config(saved, kwargs["optimizer"], [kwargs["lr_scheduler"]])

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._trains = self._is_trial  # an evaluation before it (`eval_on_start`) is not reported

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        self._logged.update(logs or {})

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any = None, **kwargs: Any) -> None:
        if self._trains:
            self._metrics = {**(self._metrics or {}), **metrics}
            self._request_save(args, control)

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._trains and args.eval_strategy == "no":
            self._metrics = {}
            control.should_log = True
            self._request_save(args, control)

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._metrics is None:  # a save of the user's own, between two evaluations
            return
        folder = Path(args.output_dir, f"checkpoint-{state.global_step}")
        if state.is_world_process_zero:
            folder.joinpath(_CONFIG).write_text(json.dumps(own_config()), encoding="utf-8")
        if args.world_size > 1:
            args.distributed_state.wait_for_everyone()  # each process adds its own files
        metrics = {**self._logged, **self._metrics}
        self._metrics = None
        client.report(metrics, step=state.global_step, checkpoint=folder)
        [must_stop] = broadcast_object_list([client.should_stop()])
        if must_stop:
            control.should_training_stop = True
        if self._output_dir is not None:
            if state.is_world_process_zero:
                shutil.rmtree(args.output_dir)
            args.output_dir, self._output_dir = self._output_dir, None

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._is_trial = self._trains = False

    def _request_save(self, args: Any, control: Any) -> None:
        """Let the trainer save right after this event, in a folder of the trial unless it saves anyway."""
        if not control.should_save and self._output_dir is None:
            self._output_dir, args.output_dir = args.output_dir, str(Path(client.folder(), "transformers"))
        control.should_save = True
