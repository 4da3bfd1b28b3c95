"""Typed settings and hyperparameters of the ``sklearn`` trainable. Needs no heavy library."""

from typing import Literal, Self

from pydantic import ConfigDict, Field, model_validator

from trainables.configs.data import DataSettings, Precision, PreprocessingConfig, Scaling

Iteration = Literal["fit", "partial_fit", "warm_start", "samples", "folds"]


class EstimatorSettings(DataSettings):
    """The estimator, the meaning of an iteration, and the data."""

    estimator: str | dict[str, str] = Field(
        description="import path of a class, an instance, or a function that returns one, such as "
        "sklearn.svm:SVC or file.py:Name; or the steps of a pipeline as name: path",
        json_schema_extra={"lookup": "file"},
    )
    iteration: Iteration = Field(
        "fit",
        description="meaning of an iteration: the only fit (fit); one pass over the training rows "
        "(partial_fit); a refit with more of 'grows' (warm_start); a fit to a growing share of the training "
        "rows (samples); a fit to all but one fold of the training and validation rows (folds)",
    )
    grows: str | None = Field(
        None, description="for warm_start: the parameter that grows, such as n_estimators"
    )
    growth: int = Field(10, ge=1, description="for warm_start: increase of the parameter per iteration")
    batch_rows: int = Field(256, ge=1, description="for partial_fit: rows per call")
    steps: int = Field(9, ge=1, description="for samples: iterations until a fit uses all training rows")
    folds: int = Field(5, ge=2, description="for folds: number of parts of the training and validation rows")
    columns: Literal["auto", "raw", "encoded", "array"] = Field(
        "auto",
        description="input of the estimator: a data frame with the original columns (raw), one with one-hot "
        "encoded text columns (encoded), or the encoded one as an array; auto: what suits the estimator",
    )
    precision: Precision = Field("float64", description="floating-point type of the data")

    @model_validator(mode="after")
    def _growth_is_declared(self) -> Self:
        if (self.grows is not None) != (self.iteration == "warm_start"):
            raise ValueError(
                "grows: must name the parameter that grows if iteration is warm_start, and only then, "
                f"got {self.grows!r} with {self.iteration}"
            )
        return self


class EstimatorConfig(PreprocessingConfig):
    """Preprocessing, and any parameter of the estimator by its own name, such as ``C`` or ``svc__C``."""

    model_config = ConfigDict(extra="allow")

    scaling: Scaling = Field("none", description="scaling of number columns, before the estimator")
