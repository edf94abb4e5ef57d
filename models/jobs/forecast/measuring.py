"""Makes a forecast, in a process that is ready to train."""

import json
import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass, replace
from functools import lru_cache
from statistics import fmean

from models.data.encoding.choice import STANDARD, Encoding
from models.data.library.builtin_loading import load_or_stand_in
from models.executors.local import tell
from models.jobs.forecast.model import Assumptions, Forecast, ForecastRequest, Spread
from models.jobs.spec import JobSpec
from models.networks.inputs import Inputs
from models.networks.outputs import Outputs
from models.networks.size import Size
from models.oracles.strategy import Grid, Hyperband, Manual, hyperband_schedule
from models.registry.building import Saving, measure_savings
from models.space.drawing import Values, corner, draw, draw_from_grid
from models.trials.calibration import CostModel, InputsByEncoding, Measured, Work, measure
from models.trials.data import PreparedFold, divide, encoding_of, prepare, prepare_fold

# Proposing, sending, storing and recording one trial: what `LUTHIER_TRIAL_SLOTS=1 python -m
# benchmarks.forecast` prints last where nothing else runs.
SECONDS_BESIDE_TRAINING = 0.02

DRAWS = 200  # values that stand for those that a job will try

# Seconds of measuring after which no further point is begun: at most, and as a share of what the
# job takes by the points so far.
_MEASURED_SECONDS = 0.5
_MEASURED_SHARE = 0.03
_MAX_MEASURED = 5
_MAX_SAVED = 250_000  # parameters of a network that is saved to measure it, which takes 0.1 s
_BYTES = 4  # of a parameter

_saved: dict[tuple[str, str, Inputs, Outputs], list[Saving]] = {}
_MAX_KEPT = 64

FoldOf = Callable[[Encoding], PreparedFold]


@dataclass(frozen=True, slots=True)
class Points:
    """Full values of trials."""

    drawn: Sequence[Values]  # as the strategy will; at least one
    enqueued: Sequence[Values]  # by the user, tried before the strategy's own
    smallest: Values  # network, in the largest batches
    largest: Values  # network, in the smallest batches
    to_measure: Sequence[Values]  # all different, the most telling first


def forecast(request: ForecastRequest) -> Forecast:
    """Make the forecast; see `models.jobs.forecast.forecaster.make_forecast`."""
    fold, folds = _folds(request)
    forecaster = _Forecaster(request, fold, folds)
    forecaster.measure()
    return forecaster.forecast()


def _check_wanted() -> None:
    """End the task if it was asked to stop, so that its process is free for the next job."""
    if tell(None):
        raise CancelledError


class _Forecaster:
    """The measurements of one job, and what follows from them."""

    def __init__(self, request: ForecastRequest, fold: FoldOf, folds: int) -> None:
        self._spec = request.spec
        self._request = request
        self._fold = fold
        self._data = fold(STANDARD).training
        self._inputs = InputsByEncoding(fold(STANDARD))
        self._runs = folds * request.spec.executions
        self._points = choose_points(request.spec, lambda values: self._work(values).size)

    def measure(self) -> None:
        """Train some of the networks, and save some."""
        self._measured = self._measure()
        self._model = CostModel(self._measured)
        _check_wanted()
        network = self._spec.network
        self._savings = _measure_savings(network, self._points, self._size, self._fold)

    def forecast(self) -> Forecast:
        """The answer."""
        spec, points, budget = self._spec, self._points, self._spec.budget
        trials = self._request.trials
        enqueued = points.enqueued[:trials]
        own = trials - len(enqueued)
        own_epochs = _own_epochs(spec, own)
        spent = sum(self._seconds(values, budget.epochs) for values in enqueued)
        if own:
            mean = fmean(self._seconds(values, own_epochs / own) for values in points.drawn)
            spent += own * mean
        slots = self._request.slots
        at_once = max(1, min(spec.parallelism or slots, slots, trials))
        limit = budget.max_seconds or float("inf")
        parameters = self._spread(lambda values: self._size(values).parameters)
        return Forecast(
            seconds=min(limit, spent / at_once),
            saving_seconds=self._refit_seconds() + self._saving_seconds(parameters.expected),
            seconds_per_trial=replace(
                self._spread(lambda values: self._seconds(values, budget.epochs)),
                expected=spent / max(1, trials),
            ),
            memory_bytes=max(each.memory_bytes for each in self._measured),
            disk_bytes=self._spread(self._disk_bytes),
            parameters=parameters,
            assumes=Assumptions(
                trials=trials,
                runs_per_trial=self._runs,
                parallelism=at_once,
                epochs=own_epochs + len(enqueued) * budget.epochs,
                networks_trained=len(self._measured),
            ),
        )

    def _measure(self) -> list[Measured]:
        """The largest and the smallest network, and others while there is time."""
        measured: list[Measured] = []
        started = time.monotonic()
        for values in self._points.to_measure[:_MAX_MEASURED]:
            spent = time.monotonic() - started
            if len(measured) >= 2 and spent > self._worth_measuring(measured):
                break
            _check_wanted()
            measured.append(measure(self._spec.network, values, self._fold(encoding_of(values))))
        return measured

    def _worth_measuring(self, measured: Sequence[Measured]) -> float:
        """Seconds to spend on measuring a job whose networks train like these."""
        epochs = self._request.trials * self._runs * self._spec.budget.epochs
        whole = epochs * fmean(each.epoch_seconds for each in measured) / self._request.slots
        return min(_MEASURED_SECONDS, _MEASURED_SHARE * whole)

    def _work(self, values: Values) -> Work:
        inputs = self._inputs.of(encoding_of(values))
        return Work.of(self._spec.network, values, self._data, inputs)

    def _size(self, values: Values) -> Size:
        return self._work(values).size

    def _spread(self, figure: Callable[[Values], float]) -> Spread:
        """The least and the most over all points: of parameters and of products need not agree."""
        points = self._points
        drawn = [figure(values) for values in points.drawn]
        ends = [figure(points.smallest), figure(points.largest), *drawn]
        return Spread(min(ends), max(ends), fmean(drawn))

    def _seconds(self, values: Values, epochs: float) -> float:
        """Seconds of one trial."""
        work, model = self._work(values), self._model
        run = model.setup_seconds(work) + epochs * model.epoch_seconds(work)
        return self._runs * run + SECONDS_BESIDE_TRAINING

    def _refit_seconds(self) -> float:
        """Seconds of training the winner anew on training and validation rows, if that is due."""
        if not self._spec.refit:
            return 0.0

        def seconds(values: Values) -> float:
            work = self._work(values)
            rows = work.rows + work.validation_rows
            work = replace(work, rows=rows, validation_rows=rows)
            epochs = self._spec.budget.epochs * self._model.epoch_seconds(work)
            return self._model.setup_seconds(work) + epochs

        return fmean(seconds(values) for values in self._points.drawn)

    def _saving_seconds(self, parameters: float) -> float:
        return _on_line([(each.parameters, each.seconds) for each in self._savings], parameters)

    def _disk_bytes(self, values: Values) -> float:
        """Bytes of the version's files and of the weights of every run of the winner."""
        parameters = self._size(values).parameters
        files = _on_line([(each.parameters, each.bytes) for each in self._savings], parameters)
        return round(files + self._runs * _BYTES * parameters)


def _folds(request: ForecastRequest) -> tuple[FoldOf, int]:
    """The first fold by encoding, and how many folds there are."""
    ref = request.data
    if request.builtin is None:
        count = len(prepare(ref).folds)
        return lambda encoding: prepare(ref, encoding).folds[0], count
    loaded = divide(load_or_stand_in(request.builtin), ref)
    first, *others = loaded.split.folds

    @lru_cache(maxsize=2)
    def prepared(encoding: Encoding) -> PreparedFold:
        return prepare_fold(loaded, ref, first.train, first.validation, encoding)

    return prepared, 1 + len(others)


def _measure_savings(
    network: str, points: Points, size: Callable[[Values], Size], fold: FoldOf
) -> list[Saving]:
    """Two networks of different size, or one where there is no other; none of them very large.

    A process measures once for a space, since this is half of a forecast.
    """
    data = fold(STANDARD).training
    ends = json.dumps([points.smallest, points.largest], sort_keys=True)
    key = (network, ends, data.inputs, data.outputs)
    if key not in _saved:
        if len(_saved) == _MAX_KEPT:
            _saved.clear()
        chosen = _to_save(points, size)
        pairs = [(values, fold(encoding_of(values))) for values in chosen]
        _saved[key] = measure_savings(network, pairs)
    return _saved[key]


def _to_save(points: Points, size: Callable[[Values], Size]) -> list[Values]:
    known = [points.smallest, points.largest, *points.drawn]
    fitting = [values for values in known if size(values).parameters <= _MAX_SAVED]
    # Narrow ones of the same depth stand in for networks that would take long.
    fitting = fitting or [
        {**points.smallest, "units": units, "filters": units} for units in (8, 64)
    ]
    fitting.sort(key=lambda values: size(values).parameters)
    least, most = fitting[0], fitting[-1]
    return [least] if size(least).parameters == size(most).parameters else [least, most]


def _on_line(points: Sequence[tuple[float, float]], place: float) -> float:
    """The height at `place` of the line through one or two points; it never falls."""
    (x, y), (other_x, other_y) = points[0], points[-1]
    slope = max(0.0, (other_y - y) / (other_x - x)) if other_x != x else 0.0
    return max(0.0, y + slope * (place - x))


def _own_epochs(spec: JobSpec, trials: int) -> int:
    """Epochs of all `trials` that the strategy proposes, each trained to its end."""
    if not isinstance(spec.strategy, Hyperband):
        return trials * spec.budget.epochs
    epochs, left = 0, trials
    for rung in hyperband_schedule(spec.strategy, spec.budget.epochs, spec.space.size()):
        count = min(rung.trials, left)
        epochs += count * (rung.epochs - rung.initial_epoch)
        left -= count
    return epochs


def choose_points(spec: JobSpec, size: Callable[[Values], Size]) -> Points:
    """The points of a job; the same for the same job."""
    space, strategy = spec.space, spec.strategy
    generator = random.Random(spec.seed)
    enqueued = space.check_all(strategy.initial_trials)

    def products(values: Values) -> int:
        return size(values).multiply_adds

    if isinstance(strategy, Manual):
        drawn = space.check_all(strategy.trials)[: spec.budget.max_trials]
        smallest, largest = min(drawn, key=products), max(drawn, key=products)
        return Points(drawn, enqueued, smallest, largest, _distinct([largest, smallest, *drawn]))
    if isinstance(strategy, Grid):
        drawn = draw_from_grid(space, strategy.points, DRAWS, generator)
    else:
        drawn = [draw(space, generator) for _ in range(DRAWS)]
    least, most = corner(space, 0), corner(space, 1)
    smallest = min(least, *drawn, key=products)
    largest = max(most, *drawn, key=products)
    smallest, widest = _in_batches_of(most, smallest), _in_batches_of(most, largest)
    largest = _in_batches_of(least, largest)
    telling = [largest, smallest, widest, *drawn]
    return Points(drawn, enqueued, smallest, largest, _distinct(telling))


def _in_batches_of(other: Values, values: Values) -> Values:
    """`values` with the other's batch size, where the space lets both have one."""
    if "batch_size" not in values or "batch_size" not in other:
        return values
    return {**values, "batch_size": other["batch_size"]}


def _distinct(listed: Sequence[Values]) -> list[Values]:
    found: list[Values] = []
    for values in listed:
        if values not in found:
            found.append(values)
    return found
