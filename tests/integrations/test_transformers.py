"""The callback for the trainers of Hugging Face, without Ray."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.integrations import scripts
from tests.integrations.trial import Trial, continued, interrupted
from tuner import client

pytest.importorskip("peft")
pytest.importorskip("transformers")

from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainerCallback, TrainingArguments

from tuner.integrations.transformers import TunerCallback

pytestmark = pytest.mark.filterwarnings("ignore")

CONFIG = {
    "learning_rate": 0.01,
    "weight_decay": 0.1,
    "r": 4,
    "optim": "adamw_torch",
    "full_determinism": False,
    "bf16": False,
    "seed": 1,
}


class Watch(TrainerCallback):
    """Notes the settings of the optimizer's groups when training begins."""

    def on_step_begin(self, args, state, control, **kwargs):
        if not hasattr(self, "groups"):
            self.groups = [dict(group, params=None) for group in kwargs["optimizer"].param_groups]


def tiny() -> Any:
    sizes = {"vocab_size": 32, "hidden_size": 16, "intermediate_size": 32}
    return LlamaForCausalLM(LlamaConfig(num_hidden_layers=1, num_attention_heads=2, **sizes))


def trained(tmp_path, *callbacks, **options):
    """Train a whole tiny model in the current trial."""
    config = client.config(learning_rate=0.01, weight_decay=0.1)
    torch.manual_seed(0)
    rows = [{"input_ids": each, "labels": each} for each in torch.randint(0, 32, (32, 8))]
    rates = {"learning_rate": config["learning_rate"], "weight_decay": config["weight_decay"]}
    quiet = {"report_to": "none", "disable_tqdm": True, "use_cpu": True}
    settings = {"num_train_epochs": 3, "save_strategy": "no", "eval_strategy": "epoch", **quiet, **options}
    arguments = TrainingArguments(output_dir=str(tmp_path / "out"), **rates, **settings)
    data = {"train_dataset": rows, "eval_dataset": rows}
    trainer = Trainer(tiny(), arguments, **data, callbacks=[TunerCallback(), *callbacks])
    trainer.train(resume_from_checkpoint=client.checkpoint())
    return trainer


def compared(reports: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the reports without times."""
    return [{name: each[name] for name in ("eval_loss", "epoch", "step")} for each in reports]


@pytest.mark.parametrize("at", [1, 2])
def test_a_continued_lora_is_the_same_as_an_unbroken_one(at, tmp_path):
    script = partial(scripts.transformers, CONFIG)
    whole = compared(continued(script, CONFIG, None))
    assert [each["epoch"] for each in whole] == [1.0, 2.0, 3.0]
    assert compared(interrupted(script, CONFIG, tmp_path / "checkpoint", at=at)) == whole


def test_the_trial_keeps_its_own_hyperparameters_when_it_copies_another_one(tmp_path):
    def script(*callbacks):
        trained(tmp_path, *callbacks, lr_scheduler_type="constant")

    folder = tmp_path / "checkpoint"
    with Trial({"learning_rate": 0.01, "weight_decay": 0.1}, saves_into=folder, ends_at=1).running():
        script()
    watch = Watch()
    continued(partial(script, watch), {"learning_rate": 0.002, "weight_decay": 0.3}, folder)
    assert [group["lr"] for group in watch.groups] == [0.002, 0.002]
    assert [group["weight_decay"] for group in watch.groups] == [0.3, 0.0]  # the latter: biases, norms


def test_a_trainer_without_evaluations_reports_each_epoch(tmp_path):
    reports = continued(partial(trained, tmp_path, eval_strategy="no"), {}, None)
    assert [each["epoch"] for each in reports] == [1.0, 2.0, 3.0]
    assert reports[-1]["loss"] > 0


def test_an_evaluation_before_the_first_step_is_not_reported(tmp_path):
    reports = continued(partial(trained, tmp_path, eval_on_start=True), {}, None)
    assert [each["epoch"] for each in reports] == [1.0, 2.0, 3.0]


def test_own_checkpoints_stay_and_those_for_the_trial_do_not(tmp_path):
    trial = Trial({})
    with trial.running():
        trained(tmp_path, save_strategy="epoch")
        assert sorted(each.name for each in (tmp_path / "out").iterdir()) == [
            "checkpoint-12",
            "checkpoint-4",
            "checkpoint-8",
        ]
        trained(tmp_path)
        assert [*Path(trial.folder()).rglob("checkpoint-*")] == []
    assert len(trial.reports) == 6


def test_outside_a_sweep_the_callback_does_nothing(tmp_path):
    trained(tmp_path)
    assert [*tmp_path.rglob("checkpoint-*")] == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"save_only_model": True}, "save_only_model must be False"),
        ({"save_strategy": "best", "metric_for_best_model": "loss"}, "save_strategy must not be 'best'"),
    ],
)
def test_arguments_that_prevent_checkpoints_are_refused(options, message, tmp_path):
    with pytest.raises(ValueError, match=message), Trial({}).running():
        trained(tmp_path, **options)


def test_trainers_of_trl_take_the_callback(tmp_path):
    trl = pytest.importorskip("trl")
    pytest.importorskip("datasets")
    from datasets import Dataset
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = ["<pad>", "<eos>", *"abcdefgh"]
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, "<pad>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    words_only = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>")
    rows = Dataset.from_dict({"text": ["a b c d", "e f g h"] * 8})

    def script():
        torch.manual_seed(0)
        arguments = trl.SFTConfig(
            output_dir=str(tmp_path / "out"),
            num_train_epochs=3,
            eval_strategy="epoch",
            save_strategy="no",
            report_to="none",
            use_cpu=True,
            bf16=False,
            disable_tqdm=True,
        )
        trainer = trl.SFTTrainer(
            tiny(),
            arguments,
            train_dataset=rows,
            eval_dataset=rows,
            processing_class=words_only,
            callbacks=[TunerCallback()],
        )
        trainer.train(resume_from_checkpoint=client.checkpoint())

    whole = compared(continued(script, {}, None))
    assert len(whole) == 3
    assert compared(interrupted(script, {}, tmp_path / "checkpoint", at=1)) == whole
