"""The tree-structured Parzen estimator of Optuna, asked and told without its storage."""

from typing import Any

import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from models.oracles.learning import LearningOracle
from models.oracles.oracle import Rank
from models.oracles.sampling import Flat
from models.space.hyperparameters import Value
from models.space.parameters import Dimension, Float, Int, is_ordered

_DRAWS = 5  # of values that were not tried, before they are drawn at random

optuna.logging.set_verbosity(optuna.logging.WARNING)


class TPEOracle(LearningOracle):
    """Asks Optuna's `TPESampler` (Bergstra et al., NeurIPS 2011) about the trials so far.

    Optuna only compares scores, so it is given ranks: trials that fail are the worst. Running
    trials count as bad (its constant liar), so that trials in parallel differ.
    """

    def __init__(self, *arguments: Any) -> None:
        """See `LearningOracle`."""
        super().__init__(*arguments)
        self._codes = {each.name: _Code(each) for each in self._space.dimensions}
        self._is_conditional = any(each.when for each in self._space.dimensions)

    def _learned(self, number: int) -> Flat | None:
        trials = self._trials()
        for draw in range(_DRAWS):
            sampler = optuna.samplers.TPESampler(
                n_startup_trials=0,
                # Together, or one by one where some dimensions depend on others.
                multivariate=not self._is_conditional,
                seed=self._seed_of(f"tpe/{number}/{draw}"),
            )
            study = optuna.create_study(sampler=sampler, directions=["minimize"] * self._objectives)
            study.add_trials(trials)
            flat = self._sample(study.ask())
            if not self._is_known(flat):
                return flat
        return None

    def _sample(self, trial: optuna.Trial) -> Flat:
        flat: dict[str, Value] = {}
        for name, code in self._codes.items():
            if code.dimension.active(flat):
                flat[name] = code.suggest(trial)
        return flat

    @property
    def _objectives(self) -> int:
        """The number of objectives."""
        return max((len(losses) for losses in self._losses.values()), default=0) or 1

    def _trials(self) -> list[FrozenTrial]:
        values = self._values()
        return [
            create_trial(
                state=TrialState.COMPLETE if key in values else TrialState.RUNNING,
                values=values.get(key),
                params=self._encoded(flat),
                distributions={name: self._codes[name].distribution for name in flat},
            )
            for key, flat in self._flat.items()
        ]

    def _values(self) -> dict[str, list[float]]:
        """Return the places of each ended trial in the orders of the objectives.

        With one objective that is the place of its rank. With several, a trial that failed or
        violates constraints is behind all others by each of them.
        """
        found: dict[str, list[float]] = {key: [] for key in self._ranks}
        for objective in range(self._objectives):
            keyed = {key: self._key_of(key, rank, objective) for key, rank in self._ranks.items()}
            order = {each: place for place, each in enumerate(sorted(set(keyed.values())))}
            for key, each in keyed.items():
                found[key].append(float(order[each]))
        return found

    def _key_of(self, key: str, rank: Rank, objective: int) -> Rank:
        losses = self._losses.get(key)
        return (rank[0], losses[objective]) if losses else rank

    def _encoded(self, flat: Flat) -> dict[str, int | float]:
        return {name: self._codes[name].encode(value) for name, value in flat.items()}


class _Code:
    """One dimension in Optuna's form: a number, or the index of a value."""

    def __init__(self, dimension: Dimension) -> None:
        self.dimension = dimension
        self._options: list[Value] | None = None
        self.distribution = self._distribution()

    def _distribution(self) -> IntDistribution | FloatDistribution | CategoricalDistribution:
        parameter = self.dimension.parameter
        if isinstance(parameter, Int | Float) and parameter.step is None:
            log = parameter.sampling == "log"
            if isinstance(parameter, Int):
                return IntDistribution(parameter.min, parameter.max, log=log)
            return FloatDistribution(parameter.min, parameter.max, log=log)
        self._options = list(parameter.options() or ())
        indices = range(len(self._options))
        if is_ordered(parameter):
            self._options.sort()
            return IntDistribution(0, indices[-1])
        return CategoricalDistribution(indices)

    def encode(self, value: Value) -> int | float:
        """Return the number that Optuna has for `value`."""
        if self._options is not None:
            return self._options.index(value)
        assert isinstance(value, int | float)
        return value

    def suggest(self, trial: optuna.Trial) -> Value:
        """Let Optuna choose a value."""
        name, numbers = self.dimension.name, self.distribution
        if isinstance(numbers, FloatDistribution):
            return trial.suggest_float(name, numbers.low, numbers.high, log=numbers.log)
        if isinstance(numbers, IntDistribution):
            number = trial.suggest_int(name, numbers.low, numbers.high, log=numbers.log)
        else:
            number = trial.suggest_categorical(name, range(len(numbers.choices)))
        return number if self._options is None else self._options[number]
