"""Tests that the settings of every searcher and scheduler must pass."""

from __future__ import annotations

import json
from typing import Any, ClassVar

from tuner.errors import SpecError
from tuner.spec import did_you_mean


class SpecContract:
    """Tests that the settings of every searcher and scheduler must pass."""

    spec: ClassVar[Any]

    def test_settings_are_frozen(self) -> None:
        import pytest
        from pydantic import ValidationError

        name = next(iter(type(self.spec).model_fields), "kind")
        with pytest.raises(ValidationError, match="frozen"):
            setattr(self.spec, name, "other")

    def test_an_unknown_key_is_refused_with_the_nearest_known_one(self) -> None:
        import pytest

        known = type(self.spec).model_fields
        wrong = max(known, key=len, default="kinds")[:-1]
        with pytest.raises(SpecError) as caught:
            type(self.spec)(**{**self.spec.model_dump(), wrong: 1})
        assert f"unknown key '{wrong}'{did_you_mean(wrong, known)}" in str(caught.value)

    def test_settings_survive_being_written_and_read(self) -> None:
        written = json.dumps(self.spec.model_dump(mode="json"))
        assert type(self.spec)(**json.loads(written)) == self.spec
        assert type(self.spec)(**self.spec.model_dump()) == self.spec
