"""The table of trainables by short name, such as ``trainable: mlp`` in a sweep file.

This module imports neither torch nor ray. The class behind a name is imported at its first use.
"""

from typing import NamedTuple

from trainables import former_paths


class TableEntry(NamedTuple):
    """The import paths of a trainable and of its models, as ``module:Name``, and a one-line summary."""

    path: str
    """The trainable itself."""

    config: str
    """The model of its hyperparameters."""

    settings: str
    """The model of its settings."""

    summary: str
    """One line about it, for ``tuner list``."""


TRAINABLES: dict[str, TableEntry] = {
    "mlp": TableEntry(
        path="trainables.models.mlp:MLP",
        config="trainables.configs:MLPConfig",
        settings="trainables.configs:NetworkSettings",
        summary="feed-forward network (PyTorch) for classification and regression on tabular data",
    ),
    "cnn": TableEntry(
        path="trainables.models.cnn:CNN",
        config="trainables.configs:CNNConfig",
        settings="trainables.configs:NetworkSettings",
        summary="small convolutional network (PyTorch) for classification and regression on images",
    ),
    "nas_mlp": TableEntry(
        path="trainables.models.nas:NasMLP",
        config="trainables.configs:NasMLPConfig",
        settings="trainables.configs:NetworkSettings",
        summary="feed-forward network (PyTorch) whose layers are searched, on tabular data",
    ),
    "nas_cnn": TableEntry(
        path="trainables.models.nas:NasCNN",
        config="trainables.configs:NasCNNConfig",
        settings="trainables.configs:NetworkSettings",
        summary="convolutional network (PyTorch) whose layers are searched, on images",
    ),
    "sklearn": TableEntry(
        path="trainables.sklearn:Estimator",
        config="trainables.configs:EstimatorConfig",
        settings="trainables.configs:EstimatorSettings",
        summary="any estimator or pipeline with scikit-learn's interface, for classification and regression",
    ),
    "command": TableEntry(
        path="trainables.command:command",
        config="trainables.configs:CommandConfig",
        settings="trainables.configs:CommandSettings",
        summary="any program: a script in any language, in a separate process",
    ),
    "transformer": TableEntry(
        path="trainables.models.transformer:Transformer",
        config="trainables.configs:TransformerConfig",
        settings="trainables.configs:NetworkSettings",
        summary="small transformer encoder (PyTorch) over features as tokens, or over sequences",
    ),
}

former_paths.install()
