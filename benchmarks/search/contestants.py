"""The strategies that take part: Luthier's oracles, and other packages where they are installed."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from benchmarks.search.problems import Flat
from models.oracles.create import create_oracle
from models.oracles.strategy import STRATEGIES, Strategy, decide
from models.space.parameters import Dimension, Float, Int, is_ordered
from models.space.space import SearchSpace

Key = Any


class Contestant(Protocol):
    """A search of one problem."""

    def ask(self) -> tuple[Key, Flat]:
        """Return the next trial's key and values."""

    def tell(self, key: Key, loss: float) -> None:
        """Report the loss of a trial."""


class Ours:
    """An oracle of Luthier."""

    def __init__(self, strategy: Strategy, space: SearchSpace, seed: int, trials: int) -> None:
        strategy = decide(strategy, space, trials)
        self._space = space
        self._oracle = create_oracle(strategy, space, "min", seed, trials, 52)

    def ask(self) -> tuple[Key, Flat]:
        """Return the next trial's key and values."""
        (proposal,) = self._oracle.ask(1)
        return proposal.key, self._space.flatten(proposal.values)

    def tell(self, key: Key, loss: float) -> None:
        """Report the loss of a trial."""
        self._oracle.tell(key, loss)


class OfOptuna:
    """A sampler of Optuna with its defaults, over a study in memory."""

    def __init__(self, sampler: Any, space: SearchSpace) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._study = optuna.create_study(sampler=sampler)
        self._dimensions = space.dimensions

    def ask(self) -> tuple[Key, Flat]:
        """Return the next trial's key and values."""
        trial = self._study.ask()
        return trial, {each.name: _suggested(trial, each) for each in self._dimensions}

    def tell(self, key: Key, loss: float) -> None:
        """Report the loss of a trial."""
        self._study.tell(key, loss)


def _suggested(trial: Any, dimension: Dimension) -> Any:
    name, parameter = dimension.name, dimension.parameter
    if isinstance(parameter, Float):
        log = parameter.sampling == "log"
        return trial.suggest_float(name, parameter.min, parameter.max, log=log)
    if isinstance(parameter, Int):
        log = parameter.sampling == "log"
        return trial.suggest_int(name, parameter.min, parameter.max, log=log)
    options = parameter.options()
    if is_ordered(parameter):
        return options[trial.suggest_int(name, 0, len(options) - 1)]
    return trial.suggest_categorical(name, options)


class OfHebo:
    """HEBO with its defaults."""

    def __init__(self, space: SearchSpace, seed: int) -> None:
        import numpy as np
        from hebo.design_space.design_space import DesignSpace
        from hebo.optimizers.hebo import HEBO

        self._array = np.array
        self._hebo = HEBO(
            DesignSpace().parse([_hebo_dimension(each) for each in space.dimensions]),
            scramble_seed=seed,
        )
        np.random.seed(seed)
        self._dimensions = space.dimensions

    def ask(self) -> tuple[Key, Flat]:
        """Return the next trial's key and values."""
        row = self._hebo.suggest(1)
        flat = {}
        for each in self._dimensions:
            value = row[each.name].iloc[0]
            if isinstance(each.parameter, Int):
                value = int(value)
            elif not isinstance(each.parameter, Float):
                options = each.parameter.options()
                value = options[int(value)] if is_ordered(each.parameter) else str(value)
            flat[each.name] = value
        return row, flat

    def tell(self, key: Key, loss: float) -> None:
        """Report the loss of a trial."""
        self._hebo.observe(key, self._array([[loss]]))


def _hebo_dimension(dimension: Dimension) -> dict[str, Any]:
    parameter = dimension.parameter
    if isinstance(parameter, Int | Float):
        kind = "pow" if parameter.sampling == "log" else "num"
        if isinstance(parameter, Int):
            kind = "pow_int" if kind == "pow" else "int"
        return {"name": dimension.name, "type": kind, "lb": parameter.min, "ub": parameter.max}
    options = parameter.options()
    if is_ordered(parameter):
        return {"name": dimension.name, "type": "int", "lb": 0, "ub": len(options) - 1}
    return {"name": dimension.name, "type": "cat", "categories": list(options)}


Make = Callable[[SearchSpace, int, int], Contestant]  # space, seed, trials


def contestants() -> Mapping[str, Make]:
    """Return what makes each contestant; importing its package waits until it is made."""
    ours: dict[str, Make] = {
        name: lambda space, seed, trials, make=STRATEGIES[name]: Ours(make(), space, seed, trials)
        for name in ("random", "bayesian", "tpe", "auto")
    }
    return {**ours, "optuna-tpe": _optuna_tpe, "optuna-gp": _optuna_gp, "hebo": _hebo}


def _optuna_tpe(space: SearchSpace, seed: int, trials: int) -> Contestant:
    import optuna

    return OfOptuna(optuna.samplers.TPESampler(seed=seed), space)


def _optuna_gp(space: SearchSpace, seed: int, trials: int) -> Contestant:
    import optuna

    return OfOptuna(optuna.samplers.GPSampler(seed=seed), space)


def _hebo(space: SearchSpace, seed: int, trials: int) -> Contestant:
    return OfHebo(space, seed)
