"""``HeldOut``: settings that compare the best trials again and score one on the test rows."""

from __future__ import annotations

from typing import Any, ClassVar

from trainables.configs import SplitSettings, parse


class HeldOut:
    """A mixin for trainables whose ``Settings`` are ``SplitSettings``. It keeps the search's test rows."""

    Settings: ClassVar[type[SplitSettings]]

    @classmethod
    def repeated(
        cls, settings: dict[str, Any], *, sweep_seed: int, repeats: int
    ) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Return settings for repeats of a trial, and what each repeat adds to the configuration.

        Each repeat divides the rows outside the test rows differently into training and validation rows.
        """
        shared = {key: value for key, value in settings.items() if key != "division"}
        seed = _split_seed(parse(cls.Settings, settings, where="trainable"), sweep_seed)
        return {**shared, "split_seed": seed}, [{"division": repeat + 1} for repeat in range(repeats)]

    @classmethod
    def final(
        cls, settings: dict[str, Any], *, sweep_seed: int, iterations: int, metric: str
    ) -> tuple[dict[str, Any], str]:
        """Return settings of a trial that is scored on the test rows, and the name of ``metric`` there.

        The trial trains on all other rows for ``iterations``. Raises ValueError when there are no test rows,
        or when ``metric`` is not a metric of the validation rows.
        """
        if not metric.startswith("val_"):
            raise ValueError(f"metric: must be a metric of the validation rows ('val_...'), got '{metric}'")
        seed = _split_seed(parse(cls.Settings, settings, where="trainable"), sweep_seed)
        final = {**settings, "split_seed": seed, "refit": iterations}
        parse(cls.Settings, final, where="trainable")
        return final, f"test_{metric.removeprefix('val_')}"


def test_names(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the metrics' names for the test rows: ``val_`` becomes ``test_``."""
    return tuple(name.replace("val_", "test_", 1) if name.startswith("val_") else name for name in names)


def _split_seed(settings: SplitSettings, sweep_seed: int) -> int:
    return sweep_seed if settings.split_seed is None else settings.split_seed
