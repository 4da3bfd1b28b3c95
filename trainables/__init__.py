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
        path="trainables.mlp:MLP",
        config="trainables.recipe:MLPConfig",
        settings="trainables.recipe:DataSettings",
        summary="feed-forward network (PyTorch) for classification and regression on tabular data",
    ),
    "cnn": Entry(
        path="trainables.cnn:CNN",
        config="trainables.recipe:CNNConfig",
        settings="trainables.recipe:DataSettings",
        summary="small convolutional network (PyTorch) for classification and regression on images",
    ),
    "nas_mlp": Entry(
        path="trainables.nas:NasMLP",
        config="trainables.architecture:NasMLPConfig",
        settings="trainables.recipe:DataSettings",
        summary="feed-forward network (PyTorch) whose layers are searched, on tabular data",
    ),
    "nas_cnn": Entry(
        path="trainables.nas:NasCNN",
        config="trainables.architecture:NasCNNConfig",
        settings="trainables.recipe:DataSettings",
        summary="convolutional network (PyTorch) whose layers are searched, on images",
    ),
    "sklearn": Entry(
        path="trainables.sklearn:Estimator",
        config="trainables.sklearn_recipe:EstimatorConfig",
        settings="trainables.sklearn_recipe:EstimatorSettings",
        summary="any estimator or pipeline of scikit-learn's kind, for classification and regression",
    ),
    "transformer": Entry(
        path="trainables.transformer:Transformer",
        config="trainables.recipe:TransformerConfig",
        settings="trainables.recipe:DataSettings",
        summary="small transformer encoder (PyTorch) over features as tokens, or over sequences",
    ),
}
