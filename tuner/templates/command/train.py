"""A linear model of scikit-learn's diabetes data, trained by gradient descent. Put your own code here.

``python train.py --lr 0.1`` runs it alone.
"""

import argparse

import numpy as np
from sklearn.datasets import load_diabetes

from tuner import client

parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=0.1)
parser.add_argument("--momentum", type=float, default=0.9)
parser.add_argument("--l2", type=float, default=0.0)
options = parser.parse_args()

features, target = load_diabetes(return_X_y=True)
features, target = features / features.std(axis=0), (target - target.mean()) / target.std()
held_out = np.arange(len(target)) % 4 == 0  # the search sees these rows only as val_loss
rows, labels = features[~held_out], target[~held_out]

saved = client.restore()  # {} in a new trial
weights = np.array(saved.get("weights", [0.0] * rows.shape[1]))
velocity = np.array(saved.get("velocity", [0.0] * rows.shape[1]))
for epoch in range(saved.get("epoch", 0) + 1, 28):
    gradient = rows.T @ (rows @ weights - labels) / len(labels) + options.l2 * weights
    velocity = options.momentum * velocity - options.lr * gradient
    weights = weights + velocity
    val_loss = float(np.mean((features[held_out] @ weights - target[held_out]) ** 2))
    print(f"epoch {epoch}: val_loss {val_loss:.4f}")
    # The state is written only when a checkpoint is due.
    client.report({"val_loss": val_loss}, epoch=epoch, weights=weights.tolist(), velocity=velocity.tolist())
