"""Every trainable of the table keeps the contract, on the first bundled data set that suits it."""

import pytest

from trainables.recipe import BUNDLED
from tuner.spec import locate
from tuner.testing import TrainableContract
from tuner.trainable import TrainableSpec, trainables


def _settings(entry):
    """Settings that the trainable accepts: none, or a bundled data set."""
    known = locate(entry.settings, {}, what="settings").model_fields
    datasets = [{"dataset": name} for name in BUNDLED if "dataset" in known]
    cls = locate(entry.path, {}, what="trainable")
    for settings in [*datasets, {}]:
        try:
            cls.metrics(settings)
        except ValueError:
            continue
        return settings
    raise AssertionError(f"{entry.path} accepts no bundled data set")


def _hyperparameters(entry):
    """A little of everything that is off by default, such as dropout, so that it takes part."""
    fields = locate(entry.config, {}, what="hyperparameters").model_fields
    return {
        name: 0.1 for name, field in fields.items() if isinstance(field.default, float) and field.default == 0
    }


for _name, _entry in trainables().items():

    class _Contract(TrainableContract):
        entry = _entry
        trainable = _entry.path

        @classmethod
        def setup_class(cls):
            cls.config = {**_settings(cls.entry), **_hyperparameters(cls.entry)}

    _Contract.__name__ = _Contract.__qualname__ = f"Test_{_name}"
    globals()[_Contract.__name__] = _Contract
del _Contract


@pytest.mark.parametrize("name", trainables())
def test_the_table_names_the_models_that_the_class_has(name):
    entry = trainables()[name]
    cls = TrainableSpec(kind=name).load()
    assert cls.Config is locate(entry.config, {}, what="hyperparameters")
    assert cls.Settings is locate(entry.settings, {}, what="settings")


@pytest.mark.parametrize("name", trainables())
def test_the_table_has_a_line_about_each(name):
    assert trainables()[name].summary
    assert "\n" not in trainables()[name].summary
