"""Roughly how long a trial takes, by arithmetic alone; a worker asks before anything is trained."""

import math
from collections.abc import Callable
from functools import cache

from models.data.columns import Column, ColumnType
from models.data.datetimes import PARTS
from models.data.library.catalog import DatasetRecord
from models.jobs.spec import JobSpec
from models.networks.outputs import Outputs
from models.networks.size import size_of
from models.networks.values import value
from models.oracles.plan import hyperband_schedule
from models.oracles.strategy import Hyperband, Manual
from models.space.drawing import corner
from models.space.hyperparameters import TrialValues

# What one core does, to within a factor of three: enough to tell tenths of a second from seconds.
_MULTIPLY_ADDS_A_SECOND = 3e10
_STEP_SECONDS = 5e-5  # of calls beside the arithmetic
_LEAST_BATCH = 16  # smaller ones wait for the weights, not for the arithmetic
_MOST_PLACES = 64  # of one category column


def first_trial_seconds(spec: JobSpec, dataset: DatasetRecord) -> float:
    """Seconds of the first trial given, or of one in the middle of the space, on all the rows."""
    return _seconds(spec, dataset, _first_epochs(spec), _first_values(spec))


def seconds_by_values(
    spec: JobSpec, find_dataset: Callable[[], DatasetRecord]
) -> Callable[[TrialValues], float]:
    """What answers the seconds of a trial of some values, all of the budget's epochs long.

    The dataset is looked up once, when it is first needed.
    """
    dataset = cache(find_dataset)
    return lambda values: _seconds(spec, dataset(), spec.budget.epochs, values)


def _seconds(spec: JobSpec, dataset: DatasetRecord, epochs: int, values: TrialValues) -> float:
    batch = max(_LEAST_BATCH, min(int(value(values, "batch_size")), dataset.rows))
    steps = math.ceil(dataset.rows / batch)
    size = size_of(spec.network, values, *_ends(spec, dataset))
    # Forward, and backward to the weights and to the signal.
    step = _STEP_SECONDS + 3 * batch * size.multiply_adds / _MULTIPLY_ADDS_A_SECOND
    folds = spec.evaluation.folds if spec.evaluation.method == "cv" else 1
    return folds * spec.executions * epochs * steps * step


def _first_values(spec: JobSpec) -> TrialValues:
    strategy = spec.strategy
    own = strategy.trials if isinstance(strategy, Manual) else ()
    given = [*strategy.initial_trials, *own][:1]
    return spec.space.check_all(given)[0] if given else corner(spec.space, 0.5)


def _first_epochs(spec: JobSpec) -> int:
    strategy, epochs = spec.strategy, spec.budget.epochs
    if isinstance(strategy, Hyperband) and not strategy.initial_trials:
        return hyperband_schedule(strategy, epochs, spec.space.size())[0].epochs
    return epochs


def _ends(spec: JobSpec, dataset: DatasetRecord) -> tuple[tuple[int, ...], int]:
    """The shape of a preprocessed row, nearly, and the number of outputs."""
    columns = {column.name: column for column in dataset.columns}
    names = spec.features or columns.keys() - {spec.target, spec.sample_weight}
    features = [columns[name] for name in names]
    images = [column.shape for column in features if column.type is ColumnType.IMAGE]
    shape = (*images[0], 1)[:3] if images else (sum(_width(column) for column in features),)
    return shape, Outputs.of(spec.task, columns[spec.target].distinct).units


def _width(column: Column) -> int:
    match column.type:
        case ColumnType.IGNORED:
            return 0
        case ColumnType.CATEGORY:
            return min(column.distinct, _MOST_PLACES)
        case ColumnType.DATETIME:
            return len(PARTS)
    return 1
