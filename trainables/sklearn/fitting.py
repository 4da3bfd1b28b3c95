"""Estimators with scikit-learn's interface: built from import paths, fitted step by step, and scored."""

from __future__ import annotations

import difflib
import hashlib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Iterable, Mapping, Sequence
from types import ModuleType
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from sklearn import metrics
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.pipeline import Pipeline

from trainables.configs import MetricName, Task, did_you_mean
from trainables.data.sources import Source, started_in

Array = NDArray[Any]

_SPELLING = 0.85
"""Smallest similarity to a known parameter, in [0, 1], at which a name counts as its misspelling."""


def build(paths: str | Mapping[str, str], parameters: Mapping[str, Any], *, random_state: int) -> Any:
    """Return a new estimator with these parameters. Unset ``random_state`` parameters get ``random_state``.

    Raises ValueError when a path leads to no estimator, or a parameter does not exist.
    """
    if isinstance(paths, str):
        estimator = _made(paths)
    else:
        estimator = Pipeline([(name, _made(path)) for name, path in paths.items()])
    known = estimator.get_params(deep=True)
    unknown = [name for name in parameters if name not in known and not _is_accepted(estimator, name, known)]
    if unknown:
        what = type(estimator).__name__
        raise ValueError(
            "\n".join(
                f"{name}: {what} has no such parameter; {did_you_mean(name, known)}" for name in unknown
            )
        )
    estimator.set_params(**{name: _as_default(value, known.get(name)) for name, value in parameters.items()})
    seeds = {
        name: random_state
        for name, value in estimator.get_params(deep=True).items()
        if name.rpartition("__")[2] == "random_state" and value is None and name not in parameters
    }
    return estimator.set_params(**seeds)


def _as_default(value: Any, default: Any) -> Any:
    """Turn a list into a tuple if the default is a tuple, since a sweep file has only lists."""
    return tuple(value) if isinstance(value, list) and isinstance(default, tuple) else value


def with_class_numbers(parameters: Mapping[str, Any], source: Source) -> dict[str, Any]:
    """Replace class names or values by class numbers in the keys of ``class_weight`` parameters.

    Raises ValueError for an unknown class.
    """
    numbers = {str(value): number for number, value in enumerate(source.class_values.tolist())}
    numbers |= {name: number for number, name in enumerate(source.class_names)}

    def number(name: str, key: Any) -> int:
        if str(key) not in numbers:
            raise ValueError(f"{name}: there is no class {key!r}; {did_you_mean(str(key), numbers)}")
        return numbers[str(key)]

    return {
        name: {number(name, key): weight for key, weight in value.items()}
        if name.rpartition("__")[2] == "class_weight" and isinstance(value, Mapping) and numbers
        else value
        for name, value in parameters.items()
    }


def _is_accepted(estimator: Any, name: str, known: Iterable[str]) -> bool:
    """Return whether ``set_params`` accepts a parameter that ``get_params`` omits, such as ``**kwargs``."""
    if difflib.get_close_matches(name, known, n=1, cutoff=_SPELLING):
        return False
    try:
        clone(estimator).set_params(**{name: None})
    except (ValueError, TypeError, AttributeError):
        return False
    return True


class Fitting:
    """An estimator and its fit. The transformers of a pipeline are fitted once per set of rows."""

    def __init__(self, estimator: Any) -> None:
        whole = clone(estimator)
        self._head = whole[:-1] if isinstance(whole, Pipeline) and len(whole) > 1 else None
        self.last = whole[-1] if isinstance(whole, Pipeline) else whole
        self._seen: tuple[Array, Array] | None = None
        self._transformed: Any = None

    def fit(self, features: Array, targets: Array) -> None:
        """Fit to these rows, from scratch unless the last step has ``warm_start``."""
        self.last.fit(self._through_head(features, targets), targets)

    def fit_more(
        self, features: Array, targets: Array, batches: Sequence[Array], classes: Array | None
    ) -> None:
        """Pass the rows to the last step's ``partial_fit`` in batches of row numbers."""
        through = self._through_head(features, targets)
        also = {} if classes is None else {"classes": classes}
        for rows in batches:
            self.last.partial_fit(at(through, rows), targets[rows], **also)

    def scores(
        self, features: Array, targets: Array, task: Task, names: Sequence[MetricName]
    ) -> dict[str, float]:
        """Return the named metrics of the rows."""
        through = features if self._head is None else self._head.transform(features)
        predicted = self.last.predict(through)
        return {name: _score(name, self.last, through, targets, predicted) for name in names}

    def _through_head(self, features: Array, targets: Array) -> Any:
        if self._head is None:
            return features
        if self._seen is None or self._seen[0] is not features or self._seen[1] is not targets:
            self._transformed = self._head.fit_transform(features, targets)
            self._seen = features, targets
        return self._transformed


def at(rows: Any, places: Array) -> Any:
    """Return the given rows of an array, a matrix or a data frame."""
    return rows.iloc[places] if hasattr(rows, "iloc") else rows[places]


def refuse_unable(
    estimator: Any, task: Task, iteration: str, grows: str | None, names: Sequence[MetricName]
) -> None:
    """Raise ValueError when the estimator cannot do what the settings require."""
    last = estimator[-1] if isinstance(estimator, Pipeline) else estimator
    what = type(last).__name__
    if not hasattr(last, "fit") or not hasattr(last, "predict"):
        raise ValueError(f"estimator: must fit and predict, got {what}")
    if task == "classification" and is_regressor(last):
        raise ValueError(f"estimator: must be a classifier for this target, got the regressor {what}")
    if task == "regression" and is_classifier(last):
        raise ValueError(f"estimator: must be a regressor for this target, got the classifier {what}")
    if iteration == "partial_fit" and not hasattr(last, "partial_fit"):
        raise ValueError(f"iteration: must not be 'partial_fit': {what} has no such method")
    if iteration == "warm_start":
        parameters = last.get_params(deep=False)
        if "warm_start" not in parameters:
            raise ValueError(f"iteration: must not be 'warm_start': {what} has no such parameter")
        if grows not in parameters:
            raise ValueError(f"grows: {what} has no parameter '{grows}'; {did_you_mean(grows, parameters)}")
    if "log_loss" in names and not hasattr(last, "predict_proba"):
        raise ValueError(f"metrics: 'log_loss' needs predict_proba, which {what} does not have")
    if "roc_auc" in names and not (hasattr(last, "predict_proba") or hasattr(last, "decision_function")):
        raise ValueError(f"metrics: 'roc_auc' needs predict_proba or decision_function; {what} has neither")


def _made(path: str) -> Any:
    module, separator, name = path.rpartition(":" if ":" in path else ".")
    if not separator:
        raise ValueError(f"estimator: must be an import path such as sklearn.svm:SVC, got '{path}'")
    try:
        found = _file(module) if module.endswith(".py") else importlib.import_module(module)
    except FileNotFoundError:
        raise ValueError(f"estimator: there is no file '{started_in() / module}'") from None
    except Exception as error:  # the user's module may raise anything
        what = str(error) if isinstance(error, ImportError) else f"{type(error).__name__}: {error}"
        raise ValueError(f"estimator: '{module}' of '{path}' cannot be imported: {what}") from error
    if not hasattr(found, name):
        public = [key for key in vars(found) if not key.startswith("_")]
        raise ValueError(f"estimator: '{module}' has no '{name}'; {did_you_mean(name, public)}")
    made = getattr(found, name)
    if inspect.isclass(made) or inspect.isfunction(made):
        made = made()
    if not hasattr(made, "get_params"):
        raise ValueError(f"estimator: '{path}' must be or return an estimator, got {type(made).__name__}")
    return clone(made)


def _file(name: str) -> ModuleType:
    """Import a file as a module under its own name, which joblib needs. Import it again after a change."""
    path = (started_in() / name).resolve()
    changed = path.stat().st_mtime_ns
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    own = sys.modules.get(path.stem)
    free = own is None or getattr(own, "__file__", None) == str(path)
    known = path.stem if free else f"{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    loaded = sys.modules.get(known)
    if loaded is not None and loaded.__spec__ is not None and loaded.__spec__.loader_state == changed:
        return loaded
    spec = importlib.util.spec_from_file_location(known, path)
    assert spec is not None
    assert spec.loader is not None
    spec.loader_state = changed
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.modules[known] = module
    return module


def _score(name: MetricName, estimator: Any, features: Any, targets: Array, predicted: Array) -> float:
    if name == "accuracy":
        return float(metrics.accuracy_score(targets, predicted))
    if name == "balanced_accuracy":
        return float(metrics.balanced_accuracy_score(targets, predicted))
    if name == "macro_f1":
        return float(metrics.f1_score(targets, predicted, average="macro"))
    if name == "log_loss":
        return float(metrics.log_loss(targets, estimator.predict_proba(features), labels=estimator.classes_))
    if name == "roc_auc":
        return _roc_auc(estimator, features, targets)
    if name == "rmse":
        return float(metrics.root_mean_squared_error(targets, predicted))
    if name == "mae":
        return float(metrics.mean_absolute_error(targets, predicted))
    return float(metrics.r2_score(targets, predicted))


def _roc_auc(estimator: Any, features: Any, targets: Array) -> float:
    classes = cast(Array, estimator.classes_)
    if len(classes) == 2:
        if hasattr(estimator, "predict_proba"):
            return float(metrics.roc_auc_score(targets, estimator.predict_proba(features)[:, 1]))
        return float(metrics.roc_auc_score(targets, estimator.decision_function(features)))
    if hasattr(estimator, "predict_proba"):
        scores = estimator.predict_proba(features)
        return float(
            metrics.roc_auc_score(targets, scores, multi_class="ovr", average="macro", labels=classes)
        )
    scores = estimator.decision_function(features)
    each = [metrics.roc_auc_score(targets == label, scores[:, i]) for i, label in enumerate(classes)]
    return float(np.mean(each))
