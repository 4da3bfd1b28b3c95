"""Former import paths, which results folders, exported models and users may name: they still work."""

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
"""Where each module is now."""


def current(path: str) -> str:
    """The import path ``module:Name`` of today for one of today or before."""
    module, colon, name = path.partition(":")
    return f"{MODULES.get(module, module)}{colon}{name}"


class _FormerPaths(MetaPathFinder, Loader):
    """Imports a module under its former name: the same object, so that its classes exist once."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return ModuleSpec(name, self) if name in MODULES else None

    def exec_module(self, module: ModuleType) -> None:
        sys.modules[module.__name__] = importlib.import_module(MODULES[module.__name__])


def install() -> None:
    """Let the former names be imported in this process."""
    if not any(isinstance(finder, _FormerPaths) for finder in sys.meta_path):
        sys.meta_path.insert(0, _FormerPaths())
