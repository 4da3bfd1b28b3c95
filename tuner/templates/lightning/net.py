"""A network for scikit-learn's diabetes data, trained by Lightning. Put your own module and data here."""

import lightning
import torch
from sklearn.datasets import load_diabetes
from torch.utils.data import DataLoader, TensorDataset, random_split

from tuner import client
from tuner.integrations.lightning import TunerCallback


class Net(lightning.LightningModule):
    """A network with one hidden layer of ``width`` units."""

    def __init__(self, config):
        super().__init__()
        self.save_hyperparameters(config)
        self.model = torch.nn.Sequential(
            torch.nn.Linear(10, config["width"]),
            torch.nn.ReLU(),
            torch.nn.Dropout(config["dropout"]),
            torch.nn.Linear(config["width"], 1),
        )

    def training_step(self, batch):
        return torch.nn.functional.mse_loss(self.model(batch[0]), batch[1])

    def validation_step(self, batch):
        self.log("val_loss", torch.nn.functional.mse_loss(self.model(batch[0]), batch[1]))

    def configure_optimizers(self):
        rates = {"lr": self.hparams["lr"], "weight_decay": self.hparams["weight_decay"]}
        return torch.optim.AdamW(self.parameters(), **rates)


def train(config=None):
    """Train with one configuration. Outside a sweep these values apply."""
    config = client.config(width=32, dropout=0.1, lr=0.01, weight_decay=0.01, seed=0)
    lightning.seed_everything(config["seed"])
    features, target = (torch.from_numpy(each).float() for each in load_diabetes(return_X_y=True))
    rows = TensorDataset(features / features.std(0), ((target - target.mean()) / target.std())[:, None])
    # All trials are compared on the same rows.
    training, held_out = random_split(rows, [0.75, 0.25], torch.Generator().manual_seed(0))

    trainer = lightning.Trainer(
        max_epochs=27,
        logger=False,
        enable_checkpointing=False,  # the callback saves
        enable_progress_bar=False,
        callbacks=[TunerCallback()],
    )
    trainer.fit(
        Net(config),
        DataLoader(training, batch_size=32, shuffle=True),
        DataLoader(held_out, batch_size=len(held_out)),
        ckpt_path=TunerCallback.ckpt_path(),
    )


if __name__ == "__main__":
    train()
