"""Former import paths keep working, since results folders, exported models and users' code contain them."""

import importlib
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

MODULES = {
    "trainables.architecture": "trainables.configs.architecture",
    "trainables.base": "trainables.torch.trainable",
    "trainables.cnn": "trainables.models.cnn",
    "trainables.export": "trainables.torch.export",
    "trainables.mlp": "trainables.models.mlp",
    "trainables.nas": "trainables.models.nas",
    "trainables.recipe": "trainables.configs",
    "trainables.sklearn_recipe": "trainables.configs.estimators",
    "trainables.transformer": "trainables.models.transformer",
}
"""Former module -> present module."""


def current(path: str) -> str:
    """Return the present import path ``module:Name`` of a former or present one."""
    module, colon, name = path.partition(":")
    return f"{MODULES.get(module, module)}{colon}{name}"


class _FormerPaths(MetaPathFinder, Loader):
    """Import a module under its former name. It is the same module object, so each class exists once."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return ModuleSpec(name, self) if name in MODULES else None

    def exec_module(self, module: ModuleType) -> None:
        sys.modules[module.__name__] = importlib.import_module(MODULES[module.__name__])


def install() -> None:
    """Make the former names importable in this process."""
    if not any(isinstance(finder, _FormerPaths) for finder in sys.meta_path):
        sys.meta_path.insert(0, _FormerPaths())
