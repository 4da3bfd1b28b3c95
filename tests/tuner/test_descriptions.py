"""Every setting that a sweep file can hold has a description."""

import pytest

from tuner import Budget, Objective, Resources, Sweep
from tuner.logger import LoggerSpec
from tuner.schedulers import SCHEDULERS
from tuner.schedulers._replay import Change
from tuner.searchers import SEARCHERS
from tuner.spec import locate
from tuner.trainable import trainables

PARTS = [Sweep, Objective, Budget, Resources, LoggerSpec, Change, *SEARCHERS.values(), *SCHEDULERS.values()]
TRAINABLES = {
    locate(path, {}, what="model")
    for entry in trainables().values()
    for path in (entry.settings, entry.config)
}


@pytest.mark.parametrize("model", [*PARTS, *sorted(TRAINABLES, key=lambda model: model.__name__)])
def test_every_setting_has_a_description(model):
    # `kind` names what the docstring describes.
    settings = {name: field for name, field in model.model_fields.items() if name != "kind"}
    assert [name for name, field in settings.items() if not field.description] == []


@pytest.mark.parametrize("model", PARTS)
def test_a_setting_with_default_none_says_what_none_means(model):
    optional = {name: field for name, field in model.model_fields.items() if field.default is None}
    assert [name for name, field in optional.items() if "none: " not in (field.description or "")] == []
