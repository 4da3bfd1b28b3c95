"""A polynomial fitted to noisy points by gradient descent. Put your own code here."""

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from ray.tune import Trainable


class Polynomial(Trainable):
    """One trial: ``setup`` gets its configuration, and each ``step`` is an iteration."""

    class Config(BaseModel):
        """The hyperparameters and their limits. With it, `tuner check` finds mistakes in the space."""

        model_config = ConfigDict(extra="forbid", strict=True)
        lr: float = Field(0.1, gt=0, description="learning rate")
        degree: int = Field(3, ge=1, description="degree of the polynomial")
        l2: float = Field(0.0, ge=0, description="penalty of the squared weights")

    def setup(self, config):
        """Start a trial. ``config`` also has ``seed``, the trial's own, and ``sweep_seed``, shared by all."""
        rng = np.random.default_rng(config["sweep_seed"])
        points = rng.uniform(-1, 1, size=200)
        self.target = np.sin(3 * points) + 0.1 * rng.normal(size=200)
        self.rows = np.vander(points, config["degree"] + 1)
        self.lr, self.l2 = config["lr"], config["l2"]
        self.weights = np.random.default_rng(config["seed"]).normal(scale=0.1, size=config["degree"] + 1)

    def step(self):
        """Train for one iteration and return its metrics."""
        rows, target = self.rows[50:], self.target[50:]
        for _ in range(10):
            gradient = rows.T @ (rows @ self.weights - target) / len(target) + self.l2 * self.weights
            self.weights = self.weights - self.lr * gradient
        return {"val_loss": float(np.mean((self.rows[:50] @ self.weights - self.target[:50]) ** 2))}

    def save_checkpoint(self, checkpoint_dir):
        """Write what a paused trial needs to continue."""
        np.save(f"{checkpoint_dir}/weights.npy", self.weights)

    def load_checkpoint(self, checkpoint_dir):
        """Continue from a checkpoint, maybe in another process."""
        self.weights = np.load(f"{checkpoint_dir}/weights.npy")
