"""Typed settings and hyperparameters of the ``sklearn`` trainable; importing this imports nothing heavy."""

from typing import Literal, Self

from pydantic import ConfigDict, Field, model_validator

from trainables.configs.data import DataSettings, Precision, PreprocessingConfig, Scaling

Iteration = Literal["fit", "partial_fit", "warm_start", "samples", "folds"]


class EstimatorSettings(DataSettings):
    """The estimator, what counts as an iteration of it, and the data."""

    estimator: str | dict[str, str] = Field(
        description="import path of a class, an instance or a function that makes one, as in "
        "sklearn.svm:SVC or file.py:Name; or the steps of a pipeline, name: path",
        json_schema_extra={"lookup": "file"},
    )
    iteration: Iteration = Field(
        "fit",
        description="what one is: the only fit; a pass of partial_fit over the training rows; a fit with "
        "warm_start, larger in 'grows'; a fit to a growing share of the training rows (samples), or to all "
        "folds of the training and validation rows but one (folds)",
    )
    grows: str | None = Field(None, description="of warm_start: the parameter that grows, as in n_estimators")
    growth: int = Field(10, ge=1, description="of warm_start: by how much in an iteration")
    batch_rows: int = Field(256, ge=1, description="of partial_fit: rows per call")
    steps: int = Field(9, ge=1, description="of samples: iterations until all training rows are fitted to")
    folds: int = Field(
        5, ge=2, description="of folds: how many the training and validation rows are divided into"
    )
    columns: Literal["auto", "raw", "encoded", "array"] = Field(
        "auto",
        description="what the estimator gets: a data frame with the columns of the data set (raw), one whose "
        "text columns are one-hot encoded (encoded), or the same as an array; if not given, as suits it",
    )
    precision: Precision = Field("float64", description="floating-point type of the data")

    @model_validator(mode="after")
    def _growth_is_declared(self) -> Self:
        if (self.grows is not None) != (self.iteration == "warm_start"):
            raise ValueError(
                "grows: must name the parameter that grows where iteration is warm_start, and only there, "
                f"got {self.grows!r} with {self.iteration}"
            )
        return self


class EstimatorConfig(PreprocessingConfig):
    """Preprocessing, and any parameter of the estimator by its own name: ``C``, or ``svc__C`` of a step."""

    model_config = ConfigDict(extra="allow")

    scaling: Scaling = Field("none", description="scaling of each number column, before the estimator's own")
