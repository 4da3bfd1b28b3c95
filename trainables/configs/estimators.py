"""Typed settings and hyperparameters of the ``sklearn`` trainable. Needs no heavy library."""

from typing import Literal, Self

from pydantic import ConfigDict, Field, model_validator

from trainables.configs.data import DataSettings, Precision, PreprocessingConfig, Scaling

Iteration = Literal["fit", "partial_fit", "warm_start", "boosting", "samples", "folds"]


class EstimatorSettings(DataSettings):
    """The estimator, the meaning of an iteration, and the data."""

    estimator: str | dict[str, str] = Field(
        description="import path of a class, an instance, or a function that returns one, such as "
        "sklearn.svm:SVC or file.py:Name; or the steps of a pipeline as name: path, or name: passthrough. A "
        "hyperparameter with the name of a step replaces it by another path",
        json_schema_extra={"lookup": "file"},
    )
    iteration: Iteration = Field(
        "fit",
        description="meaning of an iteration: the only fit (fit); one pass over the training rows "
        "(partial_fit); a refit with more of 'grows' (warm_start); 'growth' more rounds of XGBoost, LightGBM "
        "or CatBoost (boosting); a fit to a growing share of the training rows (samples); a fit to all but "
        "one fold of the training and validation rows (folds)",
    )
    grows: str | None = Field(
        None, description="for warm_start: the parameter that grows, such as n_estimators"
    )
    growth: int = Field(
        10,
        ge=1,
        description="for warm_start: increase of the parameter per iteration; for boosting: rounds per "
        "iteration",
    )
    batch_rows: int = Field(256, ge=1, description="for partial_fit: rows per call")
    steps: int = Field(9, ge=1, description="for samples: iterations until a fit uses all training rows")
    folds: int = Field(5, ge=2, description="for folds: number of parts of the training and validation rows")
    early_stopping_rounds: int | None = Field(
        None,
        ge=1,
        description="for boosting libraries: rounds without a lower loss on the validation rows after which "
        "a fit ends; the metric 'rounds' says how many it uses; if not given, all rounds are fitted",
    )
    sample_weight: str | None = Field(
        None,
        description="column, or array in an NPZ file, with a weight for each row, used by fits and metrics; "
        "it is no feature",
    )
    scorers: dict[str, str] | list[str] = Field(
        [],
        description="further metrics on the validation rows: a list of scorers, or names: scorers; each is a "
        "name of scikit-learn's, or the import path of a scorer(estimator, X, y)",
        json_schema_extra={"lookup": "file"},
    )
    columns: Literal["auto", "raw", "encoded", "array"] = Field(
        "auto",
        description="input of the estimator: a data frame with the original columns (raw), one with one-hot "
        "encoded text columns (encoded), or the encoded one as an array; auto: what suits the estimator",
    )
    precision: Precision = Field("float64", description="floating-point type of the data")

    def named_scorers(self) -> dict[str, str]:
        """Return name -> scorer. A scorer of a list has the last part of its path as its name."""
        if isinstance(self.scorers, dict):
            return self.scorers
        return {each.rpartition(":")[2]: each for each in self.scorers}

    @model_validator(mode="after")
    def _early_stopping_suits_the_iteration(self) -> Self:
        if self.early_stopping_rounds is not None and self.iteration not in ("fit", "samples", "folds"):
            raise ValueError(
                "early_stopping_rounds: needs iteration fit, samples or folds, since the scheduler "
                f"stops other trials; got {self.iteration}"
            )
        return self

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
