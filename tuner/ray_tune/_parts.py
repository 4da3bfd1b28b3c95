"""``Parts``: the parts of a sweep for arguments of Ray Tune, and what cannot be honoured."""

from __future__ import annotations

from typing import Any

from tuner.errors import Problem


class Parts:
    """Collects the parts of a sweep, and a problem for each argument that no part can express."""

    def __init__(self) -> None:
        self.parts: dict[str, Any] = {}
        self.budget: dict[str, Any] = {}
        self.problems: list[Problem] = []
        self._metrics: list[str] = []
        self._modes: list[str] = []

    def refuse(self, where: str, what: str) -> None:
        """Record that the argument ``where`` cannot be honoured."""
        self.problems.append(Problem(where, what))

    def limit(self, name: str, value: Any) -> None:
        """Limit a budget. The lowest of several limits counts."""
        self.budget[name] = min(value, self.budget.get(name, value))

    def aim(self, where: str, metric: Any, mode: Any) -> None:
        """Record the objective that an argument names. All arguments must name the same one."""
        metrics = _listed(metric)
        modes = _listed(mode)
        for name, given, known in (("metric", metrics, self._metrics), ("mode", modes, self._modes)):
            if given and known and given != known:
                self.refuse(f"{where}.{name}", f"must be {known}, as in another argument, got {given}")
        self._metrics = self._metrics or metrics
        self._modes = self._modes or modes

    def objectives(self) -> Any:
        """Return the objective of the sweep: one, a list of several, or ``None`` if no argument names any."""
        if not self._metrics or len(self._modes) != len(self._metrics):
            return None
        found = [
            {"metric": metric, "mode": mode} for metric, mode in zip(self._metrics, self._modes, strict=True)
        ]
        return found[0] if len(found) == 1 else found

    def whole(self, where: str, number: float) -> int:
        """Return a number that must be whole, also if Ray Tune holds it as a float."""
        if float(number).is_integer():
            return int(number)
        self.refuse(where, f"must be a whole number, got {number}")
        return 1


def _listed(value: Any) -> list[str]:
    if value is None:
        return []
    return [str(each) for each in value] if isinstance(value, (list, tuple)) else [str(value)]
