"""The table of short names: what `trainable: mlp` in a sweep file means.

Importing this imports neither torch nor ray; the class behind a name is imported when it is used.
"""

from typing import NamedTuple

from trainables import former_paths


class TableEntry(NamedTuple):
    """Where a trainable and its typed settings are; every path reads ``module:Name``."""

    path: str
    config: str
    settings: str
    summary: str


TRAINABLES: dict[str, TableEntry] = {
    "mlp": TableEntry(
        path="trainables.models.mlp:MLP",
        config="trainables.configs:MLPConfig",
        settings="trainables.configs:DataSettings",
        summary="feed-forward network (PyTorch) for classification and regression on tabular data",
    ),
    "cnn": TableEntry(
        path="trainables.models.cnn:CNN",
        config="trainables.configs:CNNConfig",
        settings="trainables.configs:DataSettings",
        summary="small convolutional network (PyTorch) for classification and regression on images",
    ),
    "nas_mlp": TableEntry(
        path="trainables.models.nas:NasMLP",
        config="trainables.configs:NasMLPConfig",
        settings="trainables.configs:DataSettings",
        summary="feed-forward network (PyTorch) whose layers are searched, on tabular data",
    ),
    "nas_cnn": TableEntry(
        path="trainables.models.nas:NasCNN",
        config="trainables.configs:NasCNNConfig",
        settings="trainables.configs:DataSettings",
        summary="convolutional network (PyTorch) whose layers are searched, on images",
    ),
    "sklearn": TableEntry(
        path="trainables.sklearn:Estimator",
        config="trainables.configs:EstimatorConfig",
        settings="trainables.configs:EstimatorSettings",
        summary="any estimator or pipeline of scikit-learn's kind, for classification and regression",
    ),
    "transformer": TableEntry(
        path="trainables.models.transformer:Transformer",
        config="trainables.configs:TransformerConfig",
        settings="trainables.configs:DataSettings",
        summary="small transformer encoder (PyTorch) over features as tokens, or over sequences",
    ),
}

former_paths.install()
