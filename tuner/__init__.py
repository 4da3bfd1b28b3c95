"""Distributed hyperparameter tuning on Ray Tune: a ``Sweep`` is a question, a ``Report`` is its answer.

``__init__.pyi`` lists the public names. Each is imported at its first use. Workers need no public name, so
they start about 0.17 s sooner.
"""

from typing import Any

import lazy_loader

from tuner.code.importing import importing

__version__ = "0.1.0"

_load, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> Any:
    with importing():
        return _load(name)
