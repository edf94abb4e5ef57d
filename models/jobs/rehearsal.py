"""Make a process ready for all that a job has done in it.

The packages that only forecasts and exports need are imported, and TensorFlow sets up what they use
of it, when they are needed first: a second that the first winner would otherwise wait for.
"""

import gc
import logging
import tempfile
from collections.abc import Callable
from functools import partial

import numpy as np

from models.data.formats.reading import from_arrays
from models.data.preparation.splitting import Evaluation
from models.data.preparation.tasks import Task
from models.settings import Settings
from models.store.artifacts import Artifacts
from models.trials.objective import Objective
from models.trials.process import prepare_trials
from models.trials.spec import DataRef, TrialSpec

log = logging.getLogger(__name__)

_ROWS = 20


def prepare_tasks(settings: Settings) -> Callable[[], None]:
    """What makes a new process ready for trials, forecasts and exports."""
    return partial(_prepare, settings)


def _prepare(settings: Settings) -> None:
    prepare_trials(settings)()
    try:
        with tempfile.TemporaryDirectory() as folder:
            _rehearse(folder)
    except Exception as error:
        # Nothing but time is lost by it.
        log.warning("the process was not made ready for exports: %s", error)
    # As `models.trials.process.warm_up` says.
    gc.freeze()


def _rehearse(folder: str) -> None:
    """Train a trial on a few rows, measure it as for a forecast, and make a version of it."""
    # TensorFlow is imported with these, for which the process must have been prepared.
    from models.data.library.storage import write_dataset
    from models.registry.building import measure_savings
    from models.registry.export import ExportSpec, export
    from models.trials.calibration import CostModel, measure
    from models.trials.data import prepare
    from models.trials.run import run_trial

    numbers = np.arange(float(_ROWS))
    artifacts = Artifacts(folder)
    write_dataset(from_arrays(numbers[:, None], numbers), artifacts, "rehearsal")
    trial = TrialSpec(
        job="rehearsal",
        number=1,
        network="mlp",
        values={"num_layers": 1, "units": 1},
        data=DataRef(folder, "rehearsal", "y", Task.REGRESSION, Evaluation(), seed=0),
        objective=Objective("loss", "min"),
        epochs=1,
        seed=0,
        weights="rehearsal/1",
    )
    export(ExportSpec("rehearsal", 1, trial, run_trial(trial)))
    fold = prepare(trial.data).folds[0]
    CostModel([measure(trial.network, trial.values, fold)])
    measure_savings(trial.network, [trial.values], fold)
    prepare.cache_clear()
