"""Training code with the callbacks. Each function is a trial and searches settings of its library.

The libraries are imported by the functions, because not all of them need to be installed.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from tuner import client

os.environ.setdefault("KERAS_BACKEND", "torch")  # before anything imports Keras

ROUNDS = 9
EPOCHS = 3


def table() -> tuple[np.ndarray, np.ndarray]:
    """Return the features (400 x 8) and targets of a regression task with interactions."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(400, 8))
    return features, features[:, 0] * features[:, 1] + features[:, 2] + 0.3 * rng.normal(size=400)


def xgboost(config: dict[str, Any]) -> None:
    """Train with a verbosity of the whole process."""
    import xgboost

    from tuner.integrations.xgboost import TunerCallback

    config = client.config()
    xgboost.set_config(verbosity=config["verbosity"])
    features, targets = table()
    tuner = TunerCallback()
    names = ("seed", "eta", "max_depth", "booster")
    xgboost.train(
        {"nthread": 1, **{name: config[name] for name in names}},
        xgboost.DMatrix(features[:300], targets[:300]),
        num_boost_round=tuner.remaining(ROUNDS),
        evals=[(xgboost.DMatrix(features[300:], targets[300:]), "val")],
        verbose_eval=False,
        xgb_model=tuner.model,
        callbacks=[tuner],
    )


def lightgbm(config: dict[str, Any]) -> None:
    """Train with a number of threads and another kind of trees."""
    import lightgbm

    from tuner.integrations.lightgbm import TunerCallback

    config = client.config()
    features, targets = table()
    rows = lightgbm.Dataset(features[:300], targets[:300])
    tuner = TunerCallback()
    names = ("seed", "learning_rate", "num_leaves", "linear_tree", "verbosity")
    lightgbm.train(
        {
            "num_threads": 1,
            "metric": "rmse",
            "seed": config["seed"],
            **{name: config[name] for name in names},
        },
        rows,
        num_boost_round=tuner.remaining(ROUNDS),
        valid_sets=[rows.create_valid(features[300:], targets[300:])],
        valid_names=["val"],
        init_model=tuner.model,
        callbacks=[tuner],
    )


def catboost(config: dict[str, Any]) -> None:
    """Train with bootstraps that CatBoost's own random generator draws."""
    import catboost

    from tuner.integrations.catboost import TunerCallback

    config = client.config()
    features, targets = table()
    tuner = TunerCallback()
    model = catboost.CatBoostRegressor(
        iterations=ROUNDS,
        random_seed=config["seed"],
        thread_count=1,
        verbose=config["verbose"],
        train_dir=tuner.train_dir,
        **{name: config[name] for name in ("learning_rate", "depth", "bootstrap_type")},
    )
    model.fit(
        features[:300],
        targets[:300],
        eval_set=(features[300:], targets[300:]),
        callbacks=[tuner],
        **tuner.snapshots,
    )


def lightning(config: dict[str, Any]) -> None:
    """Train with settings of the whole process: precision, determinism, seeds, anomaly detection."""
    import torch
    from lightning.pytorch import LightningModule, Trainer, seed_everything
    from torch.utils.data import DataLoader, TensorDataset

    from tuner.integrations.lightning import TunerCallback

    class Net(LightningModule):
        def __init__(self, config: dict[str, Any]) -> None:
            super().__init__()
            self.save_hyperparameters(config)
            layers = [torch.nn.Linear(8, 16), torch.nn.Dropout(config["dropout"]), torch.nn.Linear(16, 1)]
            self.model = torch.nn.Sequential(*layers)

        def training_step(self, batch: Any) -> Any:
            return torch.nn.functional.mse_loss(self.model(batch[0]), batch[1])

        def validation_step(self, batch: Any) -> None:
            self.log("val-rmse", torch.nn.functional.mse_loss(self.model(batch[0]), batch[1]).sqrt())

        def configure_optimizers(self) -> Any:
            optimizer = torch.optim.SGD(self.parameters(), lr=self.hparams["lr"], momentum=0.9)
            return [optimizer], [torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)]

    config = client.config()
    seed_everything(config["seed"], workers=True, verbose=False)
    torch.set_float32_matmul_precision(config["matmul"])
    features, targets = (torch.from_numpy(each).float() for each in table())
    rows = TensorDataset(features, targets[:, None])
    quiet = ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary")
    trainer = Trainer(
        max_epochs=EPOCHS,
        accelerator="cpu",
        precision=config["precision"],
        deterministic=config["deterministic"],
        detect_anomaly=config["anomaly"],
        callbacks=[TunerCallback()],
        **dict.fromkeys(quiet, False),
    )
    loaders = DataLoader(rows, 64, shuffle=True), DataLoader(rows, 400)
    trainer.fit(Net(config), *loaders, ckpt_path=TunerCallback.ckpt_path())


def transformers(config: dict[str, Any]) -> None:
    """Train LoRA adapters with settings of the whole process: determinism, precision, seeds."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments, set_seed

    from tuner.integrations.transformers import TunerCallback

    config = client.config()
    set_seed(config["seed"])
    sizes = {"vocab_size": 32, "hidden_size": 16, "intermediate_size": 32}
    model = LlamaForCausalLM(LlamaConfig(num_hidden_layers=1, num_attention_heads=2, **sizes))
    lora = LoraConfig(r=config["r"], lora_dropout=0.1, target_modules=["q_proj", "v_proj"])
    tokens = torch.randint(0, 32, (96, 12), generator=torch.Generator().manual_seed(0))
    rows = [{"input_ids": each, "labels": each} for each in tokens]
    names = ("learning_rate", "weight_decay", "optim", "full_determinism", "bf16")
    arguments = TrainingArguments(
        num_train_epochs=EPOCHS,
        per_device_train_batch_size=8,
        eval_strategy="epoch",
        save_strategy="no",
        report_to="none",
        use_cpu=True,
        disable_tqdm=True,
        output_dir=client.folder(),
        seed=config["seed"],
        **{name: config[name] for name in names},
    )
    trainer = Trainer(
        get_peft_model(model, lora),
        arguments,
        train_dataset=rows[:64],
        eval_dataset=rows[64:],
        callbacks=[TunerCallback()],
    )
    trainer.train(resume_from_checkpoint=client.checkpoint())


def keras(config: dict[str, Any]) -> None:
    """Train with a number type and a policy of the whole process."""
    import keras

    from tuner.integrations.keras import TunerCallback

    config = client.config()
    keras.utils.set_random_seed(config["seed"])
    if config["floatx"] != "float32":
        keras.config.set_floatx(config["floatx"])
    if config["policy"] is not None:
        keras.config.set_dtype_policy(config["policy"])
    features, targets = table()
    layers = [keras.layers.Dense(8, "relu"), keras.layers.Dropout(0.2), keras.layers.Dense(1)]
    model = keras.Sequential([keras.Input((8,)), *layers])
    model.compile(keras.optimizers.Adam(config["learning_rate"]), "mse")
    tuner = TunerCallback()
    model.fit(
        features[:300],
        targets[:300],
        validation_data=(features[300:], targets[300:]),
        epochs=EPOCHS,
        initial_epoch=tuner.initial_epoch,
        callbacks=[tuner],
        verbose=0,
    )


def accelerate(config: dict[str, Any]) -> None:
    """Train in a plain loop with a precision that Accelerate keeps for the whole process."""
    import torch
    from accelerate import Accelerator, DataLoaderConfiguration
    from torch.utils.data import DataLoader, TensorDataset

    config = client.config()
    torch.manual_seed(config["seed"])
    features, targets = (torch.from_numpy(each).float() for each in table())
    batches = DataLoader(TensorDataset(features[:300], targets[:300, None]), 32, shuffle=True)
    model = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.Dropout(0.2), torch.nn.Linear(16, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=config["lr"], momentum=0.9)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
    names = ("mixed_precision", "gradient_accumulation_steps")
    order = DataLoaderConfiguration(use_seedable_sampler=True)  # by seed and epoch
    accelerator = Accelerator(cpu=True, dataloader_config=order, **{name: config[name] for name in names})
    model, optimizer, batches, scheduler = accelerator.prepare(model, optimizer, batches, scheduler)
    parts = {"model": model, "optimizer": optimizer, "scheduler": scheduler}
    saved = client.restore(**parts)
    for epoch in range(saved.get("epoch", -1) + 1, EPOCHS):
        model.train()
        batches.set_epoch(epoch)
        for rows, wanted in batches:
            with accelerator.accumulate(model):
                accelerator.backward(torch.nn.functional.mse_loss(model(rows), wanted))
                optimizer.step()
                optimizer.zero_grad()
        scheduler.step()
        model.eval()
        with torch.no_grad():
            error = torch.nn.functional.mse_loss(model(features[300:]), targets[300:, None]).sqrt()
        client.report({"val-rmse": error}, **parts, epoch=epoch)
