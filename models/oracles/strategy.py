"""The strategies and their options, as a request names them."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar


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
    num_initial_points: int | None = None  # random trials first; None: 3 for each dimension
    alpha: float = 1e-4  # expected noise of the scores, added to the kernel's diagonal
    beta: float = 2.6  # the larger, the more it explores

    def initial_points(self, dimensions: int) -> int:
        """Return the number of random trials, for a space of so many dimensions."""
        return self.num_initial_points or max(3 * dimensions, 3)


@dataclass(frozen=True, slots=True)
class Hyperband(_Options):
    """Many short trials, of which the best go on for longer (Li et al., JMLR 18, 2018)."""

    name: ClassVar[str] = "hyperband"
    learns: ClassVar[bool] = True
    max_epochs: int | None = None  # of one trial; None: the budget's epochs
    factor: int = 3  # one trial in so many continues, for so many times the epochs
    iterations: int = 1  # times that the whole schedule runs


Strategy = Manual | Grid | Random | Bayesian | Hyperband

STRATEGIES: Mapping[str, type[Strategy]] = {
    strategy.name: strategy for strategy in (Manual, Grid, Random, Bayesian, Hyperband)
}


_LISTS = ("trials", "initial_trials")


def strategy_to_json(strategy: Strategy) -> dict[str, Any]:
    """Return the JSON form: the name and every option, `initial_trials` only if there are any."""
    options = asdict(strategy)
    lists = {name: list(options.pop(name)) for name in _LISTS if name in options}
    return {"name": strategy.name, **options, **{name: own for name, own in lists.items() if own}}
