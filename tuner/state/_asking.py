"""``ask``: the value of a hyperparameter that a running trial names (define-by-run)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tuner.journal.events import Asked
from tuner.searchers import Searcher
from tuner.space import SearchSpace
from tuner.space.entries import parse
from tuner.space.values import written
from tuner.spec import did_you_mean
from tuner.state._trial import TrialState


def ask(
    trial: TrialState, name: str, dimension: Mapping[str, Any], *, space: SearchSpace, searcher: Searcher
) -> Asked:
    """Return the value of a hyperparameter that a running trial names, or why there is none.

    A value that the trial has already, from the sweep's space or from before a restart, is returned again. In
    an open space the searcher chooses the others.
    """
    asked = Asked(trial.number, name, dict(dimension))
    try:
        named = parse(dimension)
        if name not in trial.config:
            if not space.is_open:
                raise ValueError(f"the space has no '{name}'{did_you_mean(name, space.names)}")
            trial.config = {**trial.config, name: searcher.ask(trial.number, name, named)}
    except ValueError as error:
        return replace(asked, error=str(error))
    value = trial.config[name]
    if not named.contains(value):
        return replace(asked, error=f"'{name}' is {written(value)} in this trial, but {named.in_words()}")
    return replace(asked, value=value)
