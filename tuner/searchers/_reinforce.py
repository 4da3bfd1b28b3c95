"""Architecture search by reinforcement learning."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from tuner.errors import Problem, SpecError
from tuner.objective import Ending, Objective
from tuner.searchers._random import Random
from tuner.searchers.base import FailurePenalty, Searcher, SearcherSpec
from tuner.space import Architecture, Config, Dimension, Ordered, SearchSpace
from tuner.space.values import same
from tuner.spec import Count, Number

if TYPE_CHECKING:
    from tuner.searchers._controller import ControllerNetwork, Draw

CONTROLLER_FILE = "controller.pt"

# With more options, a sweep would try hardly any option twice.
_MAX_OPTIONS = 1000

# A configuration that was suggested before is drawn again, at most this many times. Each time the temperature
# rises, which makes the options more equally likely.
_MAX_DRAWS = 20
_TEMPERATURE_STEP = 0.25

# Rewards are clipped to this, because squares of larger differences overflow.
_MAX_REWARD = 1e150

# Advantages are clipped to 3 standard deviations, so that one crashed trial does not decide an update.
_MAX_ADVANTAGE = 3.0


class Reinforce(SearcherSpec):
    """REINFORCE (Zoph and Le 2017, arXiv:1611.01578): a recurrent network learns to make good choices.

    The controller decides one step of an architecture after another. It also chooses the values of the other
    dimensions, which must be finite lists. A trial's reward is its last value. A failed trial gets the worst
    value so far. A configuration that was suggested before is drawn again, up to 20 times.
    """

    kind: Literal["reinforce"] = "reinforce"
    hidden: Count = Field(default=64, description="number of units of the controller, an LSTM")
    learning_rate: Annotated[Number, Field(gt=0)] = Field(
        default=0.02, description="learning rate of the controller (Adam)"
    )
    batch: Count = Field(default=4, description="number of trials that must end between two updates")
    baseline: Annotated[Number, Field(ge=0, lt=1)] = Field(
        default=0.8,
        description="decay of the moving average of rewards at each update; a reward counts by its "
        "distance from the average, in standard deviations",
    )
    entropy: Annotated[Number, Field(ge=0)] = Field(
        default=0.05, description="weight of the entropy bonus, which keeps the controller exploring"
    )
    controller: str | None = Field(
        default=None,
        description="controller to continue from: controller.pt in the results folder of an earlier "
        "sweep over the same space; none: a new one",
    )

    learns: ClassVar[bool] = True
    conditions: ClassVar[bool] = True
    opaque: ClassVar[bool] = True

    def problems(self, space: SearchSpace) -> list[Problem]:
        problems = super().problems(space)
        for key, dimension in space.as_written():
            problems += [problem.inside(f"space.{key}") for problem in _options_problems(dimension)]
        return problems

    def source_problems(self, space: SearchSpace) -> list[Problem]:
        if self.controller is None:
            return []
        try:
            self._controller(space, self.controller, seed=0)
        except ValueError as error:
            return [Problem("controller", f"'{self.controller}' {error}")]
        return []

    def sources(self) -> dict[str, Path]:
        own = {} if self.controller is None else {"controller": Path(self.controller).expanduser()}
        return super().sources() | own

    def build(self, space: SearchSpace, *, objective: Objective, seed: int) -> Searcher:
        if not space.dimensions:  # nothing to decide
            return Random().build(space, objective=objective, seed=seed)
        return _ReinforceSearcher(self, space, objective, self._controller(space, self.controller, seed=seed))

    def _controller(self, space: SearchSpace, path: str | None, *, seed: int) -> ControllerNetwork:
        from tuner.searchers._controller import ControllerNetwork

        controller = ControllerNetwork(
            _vocabulary(space), hidden=self.hidden, learning_rate=self.learning_rate, seed=seed
        )
        if path is not None:
            controller.load(Path(path).expanduser())
        return controller


class _ReinforceSearcher(Searcher):
    def __init__(
        self, spec: Reinforce, space: SearchSpace, objective: Objective, controller: ControllerNetwork
    ) -> None:
        self._spec = spec
        self._space = space
        self._objective = objective
        self._controller = controller
        self._options = {
            key: dimension.values()
            for key, dimension in space.dimensions.items()
            if not isinstance(dimension, Architecture)
        }
        self._rewards = _Rewards(spec.baseline)
        self._penalty = FailurePenalty(objective)
        self._open: dict[int, Draw] = {}
        self._suggested: set[tuple[int, ...]] = set()
        self._batch: list[tuple[Draw, float]] = []

    def suggest(self, trial: int) -> Config:
        for redraw in range(_MAX_DRAWS):
            drawing = self._controller.drawing(temperature=1 + _TEMPERATURE_STEP * redraw)
            config = self._space.build(self._chooser(drawing.choose))
            if drawing.draw.tokens not in self._suggested and self._space.allows(config):
                break
        self._suggested.add(drawing.draw.tokens)
        self._open[trial] = drawing.draw
        return config

    def take(self, trial: int, config: Config) -> None:
        """Record that ``trial`` runs ``config``. A number between two options counts as the nearer one."""
        draw = self._recall(config)
        self._suggested.add(draw.tokens)
        self._open[trial] = draw

    def finish(self, trial: int, ending: Ending, value: float | None) -> None:
        if ending == "failed" or value is None:
            self._penalty.failed(trial)
        else:
            self._penalty.saw(value)
            self._add_reward(trial, value)
        for failed, worst in self._penalty.due():
            self._add_reward(failed, worst)

    def save(self, folder: Path) -> None:
        self._controller.save(folder / CONTROLLER_FILE)

    def _add_reward(self, trial: int, value: float) -> None:
        self._batch.append((self._open.pop(trial), self._objective.score(value)))
        if len(self._batch) == self._spec.batch:
            draws, rewards = zip(*self._batch, strict=True)
            self._batch = []
            advantages = self._rewards.advantages(rewards)
            self._controller.learn(draws, advantages, entropy=self._spec.entropy)

    def _chooser(self, choose: Callable[[str], int]) -> Callable[[str, Dimension], Any]:
        """Return a ``choose`` for ``SearchSpace.build`` that decides by calling ``choose(step)``."""

        def value(key: str, dimension: Dimension) -> Any:
            if isinstance(dimension, Architecture):
                return dimension.build(lambda step: choose(f"{key}.{step.name}"))
            return self._options[key][choose(key)]

        return value

    def _recall(self, config: Config) -> Draw:
        """Return the decisions that lead to ``config`` or the nearest configuration."""
        decisions: list[tuple[str, int]] = []

        def value(key: str, dimension: Dimension) -> Any:
            wanted = self._space.value(key, config)
            if isinstance(dimension, Architecture):
                tokens = iter(dimension.tokens(wanted))

                def choose(step: Any) -> int:
                    decisions.append((f"{key}.{step.name}", next(tokens)))
                    return decisions[-1][1]

                return dimension.build(choose)
            decisions.append((key, _nearest(dimension, self._options[key], wanted)))
            return wanted

        self._space.build(value)
        return self._controller.recall(decisions)


class _Rewards:
    """Turns rewards into advantages: distances from a moving average, in moving standard deviations."""

    def __init__(self, decay: float) -> None:
        self._decay = decay
        self._mean: float | None = None
        self._square = 0.0

    def advantages(self, rewards: tuple[float, ...]) -> list[float]:
        """Return the advantage of each reward; 0 while all rewards are equal."""
        bounded = [min(max(reward, -_MAX_REWARD), _MAX_REWARD) for reward in rewards]
        mean = math.fsum(bounded) / len(bounded)
        before = mean if self._mean is None else self._mean
        differences = [reward - before for reward in bounded]
        square = math.fsum(difference**2 for difference in differences) / len(differences)
        if self._mean is None:
            self._square = square
        self._mean = self._decay * before + (1 - self._decay) * mean
        self._square = self._decay * self._square + (1 - self._decay) * square
        deviation = math.sqrt(self._square)
        if deviation == 0:
            return [0.0] * len(differences)
        shares = (difference / deviation for difference in differences)
        return [min(max(share, -_MAX_ADVANTAGE), _MAX_ADVANTAGE) for share in shares]


def _nearest(dimension: Dimension, options: list[Any], value: Any) -> int:
    """Return the index of the option that equals ``value``; for numbers, of the nearest option."""
    if isinstance(dimension, Ordered):
        place = dimension.place(value)
        return min(range(len(options)), key=lambda option: abs(dimension.place(options[option]) - place))
    return next(option for option, known in enumerate(options) if same(known, value))


def _vocabulary(space: SearchSpace) -> dict[str, int]:
    """Return the name of each step -> its number of options, for all steps that any configuration needs."""
    found: dict[str, int] = {}
    for key, dimension in space.dimensions.items():
        if isinstance(dimension, Architecture):
            found |= {f"{key}.{step.name}": len(step.options) for step in dimension.vocabulary()}
        else:
            found[key] = len(dimension.values())
    return found


def _options_problems(dimension: Dimension) -> list[Problem]:
    """Return why the controller cannot choose among a dimension's values; empty if it can."""
    if isinstance(dimension, Architecture):
        return []
    try:
        count = len(dimension.values())
    except SpecError:
        what = "reinforce needs a finite list of values; set 'points' (their number) or 'step'"
        return [Problem("", what)]
    if count > _MAX_OPTIONS:
        what = f"reinforce allows at most {_MAX_OPTIONS} values, got {count}; set 'points' or 'step'"
        return [Problem("", what)]
    return []
