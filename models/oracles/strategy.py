"""The strategies, their options, and the trials that each will have."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar

from models.errors import Invalid
from models.space.parameters import Combinations
from models.space.space import SearchSpace

MAX_GRID_POINTS = 100_000
MAX_POINTS_OF_A_RANGE = 1000  # of a grid
DEFAULT_TRIALS = 20  # of the strategies that have no end of their own


@dataclass(frozen=True, slots=True, kw_only=True)
class _Options:
    """The options of every strategy."""

    learns: ClassVar[bool] = False  # whether proposals depend on the results so far

    # Values tried before the strategy's own trials; they use up none of `max_trials`.
    initial_trials: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Manual(_Options):
    """The user's own trials, in their order."""

    name: ClassVar[str] = "manual"
    trials: tuple[Mapping[str, Any], ...]  # values by hyperparameter; the others are completed


@dataclass(frozen=True, slots=True)
class Grid(_Options):
    """Every combination, once."""

    name: ClassVar[str] = "grid"
    points: int = 5  # values taken from a range that has no step


@dataclass(frozen=True, slots=True)
class Random(_Options):
    """Combinations drawn at random, none of them twice."""

    name: ClassVar[str] = "random"


@dataclass(frozen=True, slots=True)
class Bayesian(_Options):
    """The values that a Gaussian process over the results so far expects to be best."""

    name: ClassVar[str] = "bayesian"
    learns: ClassVar[bool] = True
    num_initial_points: int | None = None  # trials before it learns; None: decided by `decide`


@dataclass(frozen=True, slots=True)
class TPE(_Options):
    """Values that good trials had more often than bad ones (Bergstra et al., NeurIPS 2011)."""

    name: ClassVar[str] = "tpe"
    learns: ClassVar[bool] = True
    num_initial_points: int | None = None  # trials before it learns; None: decided by `decide`


@dataclass(frozen=True, slots=True)
class Hyperband(_Options):
    """Many short trials, of which the best go on for longer (Li et al., JMLR 18, 2018)."""

    name: ClassVar[str] = "hyperband"
    learns: ClassVar[bool] = True
    max_epochs: int | None = None  # of one trial; None: the budget's epochs
    factor: int = 3  # one trial in so many continues, for so many times the epochs
    iterations: int = 1  # times that the whole schedule runs
    min_epochs: int = 1  # of the shortest trainings


@dataclass(frozen=True, slots=True)
class Auto(_Options):
    """The strategy that suits the space and the budget; `decide` replaces it."""

    name: ClassVar[str] = "auto"


Strategy = Auto | Manual | Grid | Random | Bayesian | TPE | Hyperband

STRATEGIES: Mapping[str, type[Strategy]] = {
    strategy.name: strategy for strategy in (Auto, Manual, Grid, Random, Bayesian, TPE, Hyperband)
}

ENDLESS = (Auto, Random, Bayesian, TPE)  # they go on until a limit ends them

MAX_INITIAL_POINTS = 6


def decide(
    strategy: Strategy, space: SearchSpace, max_trials: int | None, objectives: int = 1
) -> Strategy:
    """Return `strategy` with what it leaves open decided for a search of `max_trials` trials."""
    trials = trial_limit(strategy, max_trials)
    if isinstance(strategy, Auto):
        strategy = _suited(strategy, space, trials or DEFAULT_TRIALS, objectives)
    if isinstance(strategy, Bayesian | TPE) and strategy.num_initial_points is None:
        initial = initial_points(trials or DEFAULT_TRIALS)
        strategy = replace(strategy, num_initial_points=initial)
    return strategy


def _suited(auto: Auto, space: SearchSpace, trials: int, objectives: int) -> Strategy:
    """Return the strategy that the bench recommends; see docs/strategies.md."""
    size = space.size()
    if size is not None and size <= min(trials, MAX_POINTS_OF_A_RANGE):
        return Grid(points=MAX_POINTS_OF_A_RANGE, initial_trials=auto.initial_trials)
    learning = Bayesian if objectives == 1 else TPE
    return learning(initial_trials=auto.initial_trials)


def initial_points(trials: int) -> int:
    """Return how many trials come before a strategy learns, of so many in all."""
    return max(min(MAX_INITIAL_POINTS, trials // 4), 1)


_LISTS = ("trials", "initial_trials")


def strategy_to_json(strategy: Strategy) -> dict[str, Any]:
    """Return the JSON form: the name and every option, `initial_trials` only if there are any."""
    options = asdict(strategy)
    lists = {name: list(options.pop(name)) for name in _LISTS if name in options}
    return {"name": strategy.name, **options, **{name: own for name, own in lists.items() if own}}


@dataclass(frozen=True, slots=True)
class Round:
    """One rung of Hyperband: `trials` are trained from `initial_epoch` to `epochs`."""

    iteration: int  # 0 is the first
    bracket: int  # the number of halvings in it; the largest runs first
    round: int  # 0 draws new values, the later ones continue the best of the round before
    trials: int
    initial_epoch: int
    epochs: int


@dataclass(frozen=True, slots=True)
class Plan:
    """The course of a strategy if no trial fails and none is stopped."""

    trials: int
    initial_points: int | None  # trials before the strategy learns; None where it never does so
    space_size: int | None  # distinct combinations; None where a range is continuous
    schedule: tuple[Round, ...] = ()  # Hyperband's, not cut by max_trials


def plan(strategy: Strategy, space: SearchSpace, max_trials: int | None, epochs: int) -> Plan:
    """Plan a search of at most `max_trials` trials of `epochs` epochs.

    Without `max_trials` a strategy runs to its own end, or `DEFAULT_TRIALS` if it has none. Raises
    Invalid at `search_space` for a grid of more than 100,000 points, and at `strategy.min_epochs`
    for a Hyperband whose shortest training is longer than the longest.
    """
    strategy = decide(strategy, space, max_trials)
    size = space.size()
    limit = trial_limit(strategy, max_trials)
    schedule: tuple[Round, ...] = ()
    initial = None
    match strategy:
        case Manual():
            trials = len(strategy.trials)
        case Grid():
            trials = _grid_points(strategy, space)
        case Hyperband():
            schedule = hyperband_schedule(strategy, epochs, size)
            trials = sum(rung.trials for rung in schedule)
        case _:
            trials = DEFAULT_TRIALS if limit is None else limit
            trials = trials if size is None else min(trials, size)
    trials = trials if limit is None else min(trials, limit)
    if isinstance(strategy, Bayesian | TPE) and strategy.num_initial_points is not None:
        initial = min(strategy.num_initial_points, trials)
    return Plan(trials, initial, size, schedule)


def trial_limit(strategy: Strategy, max_trials: int | None) -> int | None:
    """Return the most trials that a strategy proposes; None if it runs to its own end."""
    if max_trials is None and isinstance(strategy, ENDLESS):
        return DEFAULT_TRIALS
    return max_trials


def hyperband_schedule(strategy: Hyperband, epochs: int, size: int | None) -> tuple[Round, ...]:
    """Return Hyperband's rounds over a space of `size` combinations, none of them drawn twice.

    The figures are those of Keras Tuner 1.4.8, `tuners/hyperband.py`: brackets share the epochs
    about equally, and numbers are rounded up.
    """
    longest, factor = strategy.max_epochs or epochs, strategy.factor
    if strategy.min_epochs > longest:
        raise Invalid.at("strategy.min_epochs", f"Must be at most {longest}, the longest training.")
    # Counted as Keras Tuner does: a logarithm would round 243 = 3 ** 5 down.
    brackets, left = 0, float(longest)
    while left >= strategy.min_epochs:
        left, brackets = left / factor, brackets + 1
    final = math.ceil(1 + math.log(longest, factor))
    unseen = math.inf if size is None else size
    rounds: list[Round] = []
    for iteration in range(strategy.iterations):
        for bracket in reversed(range(brackets)):
            before = unseen
            for number in range(bracket + 1):
                halvings = bracket - number
                trials = min(before, math.ceil(final / (bracket + 1) * factor**halvings))
                if number == 0:
                    unseen -= trials
                start = 0 if number == 0 else math.ceil(longest / factor ** (halvings + 1))
                end = math.ceil(longest / factor**halvings)
                if trials:
                    rounds.append(Round(iteration, bracket, number, int(trials), start, end))
                before = trials
    return tuple(rounds)


def _grid_points(strategy: Grid, space: SearchSpace) -> int:
    points = Combinations(
        space.dimensions, lambda dimension: dimension.parameter.points(strategy.points)
    ).count
    if points > MAX_GRID_POINTS:
        raise Invalid.at(
            "search_space",
            f"The grid has {points:,} points, more than {MAX_GRID_POINTS:,}. Give ranges larger "
            "steps, strategy.points fewer, or use the random strategy.",
        )
    return points
