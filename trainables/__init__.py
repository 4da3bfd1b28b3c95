"""The table of short names: what `trainable: mlp` in a sweep file means.

Importing this imports neither torch nor ray; the class behind a name is imported when it is used.
"""

from typing import NamedTuple


class Entry(NamedTuple):
    """Where a trainable and its typed settings are; every path reads ``module:Name``."""

    path: str
    config: str
    settings: str
    summary: str


TRAINABLES: dict[str, Entry] = {
    "mlp": Entry(
        path="trainables.models.mlp:MLP",
        config="trainables.configs.networks:MLPConfig",
        settings="trainables.configs.networks:DataSettings",
        summary="feed-forward network (PyTorch) for classification and regression on tabular data",
    ),
    "cnn": Entry(
        path="trainables.models.cnn:CNN",
        config="trainables.configs.networks:CNNConfig",
        settings="trainables.configs.networks:DataSettings",
        summary="small convolutional network (PyTorch) for classification and regression on images",
    ),
    "nas_mlp": Entry(
        path="trainables.models.nas:NasMLP",
        config="trainables.configs.architecture:NasMLPConfig",
        settings="trainables.configs.networks:DataSettings",
        summary="feed-forward network (PyTorch) whose layers are searched, on tabular data",
    ),
    "nas_cnn": Entry(
        path="trainables.models.nas:NasCNN",
        config="trainables.configs.architecture:NasCNNConfig",
        settings="trainables.configs.networks:DataSettings",
        summary="convolutional network (PyTorch) whose layers are searched, on images",
    ),
    "sklearn": Entry(
        path="trainables.sklearn.estimator:Estimator",
        config="trainables.configs.estimators:EstimatorConfig",
        settings="trainables.configs.estimators:EstimatorSettings",
        summary="any estimator or pipeline of scikit-learn's kind, for classification and regression",
    ),
    "transformer": Entry(
        path="trainables.models.transformer:Transformer",
        config="trainables.configs.networks:TransformerConfig",
        settings="trainables.configs.networks:DataSettings",
        summary="small transformer encoder (PyTorch) over features as tokens, or over sequences",
    ),
}
