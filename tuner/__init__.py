"""Distributed hyperparameter tuning on Ray Tune: a ``Sweep`` is a question, a ``Report`` is its answer.

The public names stand in ``__init__.pyi``. Each is imported when it is first used, so that a worker, which
uses none of them, starts a sixth of a second sooner.
"""

from typing import Any

import lazy_loader

from tuner.code.importing import importing

__version__ = "0.1.0"

_load, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> Any:
    with importing():
        return _load(name)
