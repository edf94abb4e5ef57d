"""The strategies that take part: Luthier's oracles, and other packages where they are installed."""

from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
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


class OfSmac:
    """SMAC's facade for hyperparameters, with its defaults: random forests and a Sobol design."""

    def __init__(self, space: SearchSpace, seed: int, trials: int) -> None:
        from ConfigSpace import ConfigurationSpace
        from smac import HyperparameterOptimizationFacade, Scenario
        from smac.runhistory.dataclasses import TrialValue

        self._dimensions = space.dimensions
        self._value = TrialValue
        self._folder = TemporaryDirectory()  # SMAC keeps what it does
        known = ConfigurationSpace(seed=seed)
        known.add([_of_config_space(each) for each in space.dimensions])
        scenario = Scenario(
            known,
            deterministic=True,
            n_trials=trials,
            seed=seed,
            output_directory=Path(self._folder.name),
        )
        self._smac = HyperparameterOptimizationFacade(
            scenario, lambda config, seed: 0.0, logging_level=40
        )

    def ask(self) -> tuple[Key, Flat]:
        """Return the next trial's key and values."""
        trial = self._smac.ask()
        flat = {}
        for each in self._dimensions:
            value = trial.config[each.name]
            if isinstance(each.parameter, Int):
                value = int(value)
            elif is_ordered(each.parameter) and not isinstance(each.parameter, Float):
                value = each.parameter.options()[int(value)]
            flat[each.name] = value if isinstance(value, int | float) else str(value)
        return trial, flat

    def tell(self, key: Key, loss: float) -> None:
        """Report the loss of a trial."""
        self._smac.tell(key, self._value(cost=loss))


def _of_config_space(dimension: Dimension) -> Any:
    from ConfigSpace import (
        CategoricalHyperparameter,
        UniformFloatHyperparameter,
        UniformIntegerHyperparameter,
    )

    parameter, name = dimension.parameter, dimension.name
    if isinstance(parameter, Int | Float):
        is_whole = isinstance(parameter, Int)
        make = UniformIntegerHyperparameter if is_whole else UniformFloatHyperparameter
        return make(name, parameter.min, parameter.max, log=parameter.sampling == "log")
    options = list(parameter.options())
    if is_ordered(parameter):
        return UniformIntegerHyperparameter(name, 0, len(options) - 1)
    return CategoricalHyperparameter(name, options)


Make = Callable[[SearchSpace, int, int], Contestant]  # space, seed, trials


def contestants() -> Mapping[str, Make]:
    """Return what makes each contestant; importing its package waits until it is made."""
    ours: dict[str, Make] = {
        name: lambda space, seed, trials, make=STRATEGIES[name]: Ours(make(), space, seed, trials)
        for name in ("random", "bayesian", "tpe", "auto")
    }
    return {**ours, "optuna-tpe": _optuna_tpe, "optuna-gp": _optuna_gp, "smac": OfSmac}


def _optuna_tpe(space: SearchSpace, seed: int, trials: int) -> Contestant:
    import optuna

    return OfOptuna(optuna.samplers.TPESampler(seed=seed), space)


def _optuna_gp(space: SearchSpace, seed: int, trials: int) -> Contestant:
    import optuna

    return OfOptuna(optuna.samplers.GPSampler(seed=seed), space)
