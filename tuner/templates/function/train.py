"""A linear model of scikit-learn's diabetes data, trained by gradient descent. Put your own code here."""

import numpy as np
from sklearn.datasets import load_diabetes

from tuner import client


def train(config):
    """Train with one configuration: ``lr``, ``momentum``, ``l2`` and the trial's own ``seed``."""
    features, target = load_diabetes(return_X_y=True)
    features, target = features / features.std(axis=0), (target - target.mean()) / target.std()
    held_out = np.arange(len(target)) % 4 == 0  # the search sees these rows only as val_loss
    rows, labels = features[~held_out], target[~held_out]

    saved = client.restore()  # {} in a new trial
    start = np.random.default_rng(config["seed"]).normal(scale=0.1, size=rows.shape[1])
    weights = np.array(saved.get("weights", start))
    velocity = np.array(saved.get("velocity", np.zeros_like(weights)))
    for epoch in range(saved.get("epoch", 0) + 1, 1000):  # the sweep's budget ends the trial
        gradient = rows.T @ (rows @ weights - labels) / len(labels) + config["l2"] * weights
        velocity = config["momentum"] * velocity - config["lr"] * gradient
        weights = weights + velocity
        val_loss = float(np.mean((features[held_out] @ weights - target[held_out]) ** 2))
        # The state is written only when a checkpoint is due.
        state = {"epoch": epoch, "weights": weights.tolist(), "velocity": velocity.tolist()}
        client.report({"val_loss": val_loss}, **state)
