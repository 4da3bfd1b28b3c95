"""A worker's checks of a result before it reaches the driver."""

from typing import Any

import pytest

from tuner.errors import TrialError
from tuner.worker.results import Shown, checked


def test_a_clock_set_back_gives_no_negative_time() -> None:
    result = checked({"loss": 1.0, "time_total_s": -1795829920.0}, ["loss"], iteration=1, resource="seconds")
    assert (result["time_total_s"], result["__resource__"]) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("low", "must be a number, got the text 'low'"),
        (Shown("(1+2j)"), "must be a number, got (1+2j)"),
        (None, "must be a number, got nothing"),
        (True, "must be a number, got true"),
        ("x" * 10_000, f"must be a number, got the text '{'x' * 200}...'"),
        (10**5000, "must be finite, got a whole number of 16610 bits"),
        (float("nan"), "must be finite, got nan"),
    ],
    ids=["text", "object", "none", "flag", "long", "huge", "nan"],
)
def test_an_invalid_objective_value_is_named_briefly(value: Any, sentence: str) -> None:
    with pytest.raises(TrialError) as error:
        checked({"loss": value}, ["loss"], iteration=1)
    assert str(error.value) == f"'loss' {sentence}"
