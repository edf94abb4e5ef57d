"""The functions that a worker runs in its trial processes, and the preparation of a process."""

import errno
import gc
import importlib.util
import logging
import os
import pickle
import tempfile
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import numpy as np

from models.data.formats.reading import from_arrays
from models.data.library.storage import folder as dataset_folder
from models.data.preparation.splitting import Evaluation
from models.data.preparation.tasks import Task
from models.errors import SettingError, Unavailable
from models.executors.executor import Executor, TaskLost, TaskOutOfMemory, TaskTimedOut
from models.executors.local import LocalExecutor, tell
from models.registry.catalog.promotion import Comparison, ComparisonSpec
from models.registry.export import ExportResult, ExportSpec
from models.settings import Settings
from models.store.artifacts import Artifacts
from models.telemetry import about
from models.trials.process import may_have_gpu, prepare_trials
from models.trials.run import run_trial
from models.trials.spec import DataRef, Failure, FailureKind, Objective, TrialResult, TrialSpec

log = logging.getLogger(__name__)

_FAILURES: dict[type[Exception], FailureKind] = {
    TaskLost: FailureKind.LOST,
    TaskTimedOut: FailureKind.TIMEOUT,
    TaskOutOfMemory: FailureKind.OUT_OF_MEMORY,
}
_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)
_PATIENCE = 600.0  # seconds that a task waits for artifacts that do not answer
_WARM_UP_ROWS = 20


def train(spec: TrialSpec) -> TrialResult:
    """Run one trial and report every epoch to the worker, which may ask the trial to stop."""
    # As in `export`.
    from models.registry.onnx.latency import measure_latency

    with about(job=spec.job, trial=spec.number):
        return run_trial(spec, lambda report: tell(asdict(report)), measure_latency=measure_latency)


def export(spec: ExportSpec) -> ExportResult:
    """Make a version of a trial, as `models.registry.building.build_version` does.

    Raises Unavailable also where the disk of its temporary files is full or read-only.
    """
    # The worker sends this function by name; TensorFlow is imported by the process that calls it.
    from models.registry.building import build_version

    try:
        return build_version(spec)
    except OSError as error:
        if error.errno in _DISK_ERRORS:
            raise Unavailable(f"The folder for temporary files cannot be used: {error}") from error
        raise


def compare(spec: ComparisonSpec) -> Comparison:
    """Compare a written version with the champion, as `models.registry.evidence.champion` does."""
    # As in `export`.
    from models.registry.evidence.champion import compare_with_champion

    return compare_with_champion(spec)


def failure_of(error: Exception) -> Failure:
    """Return the failure of a trial whose task raised `error`."""
    kind = _FAILURES.get(type(error), FailureKind.ERROR)
    text = str(error) if kind != FailureKind.ERROR else f"{type(error).__name__}: {error}"
    return Failure(kind, text)


def prepare_tasks(settings: Settings) -> Callable[[], None]:
    """Return what makes a new process ready for trials, forecasts and exports."""
    return partial(_prepare, settings)


def open_executor(settings: Settings, artifacts: Artifacts) -> Executor:
    """Return what runs the tasks of a worker; SettingError if Ray is chosen and cannot be used."""
    memory, growth = settings.trial_memory, settings.trial_growth
    if settings.executor == "local":
        slots = settings.resolved_trial_slots
        # A library of a GPU's driver may be in use once TensorFlow is imported.
        preload = None if may_have_gpu() else "models.trials.preload"
        return LocalExecutor(slots, memory, prepare_tasks(settings), growth, preload)
    if importlib.util.find_spec("ray") is None:
        raise SettingError("LUTHIER_EXECUTOR=ray needs Ray: pip install 'luthier[ray]'")
    # One line of a trial is one line of the worker's log. Ray reads this when it is imported.
    os.environ.setdefault("RAY_DEDUP_LOGS", "0")
    os.environ.setdefault("RAY_COLOR_PREFIX", "0")
    # Only such a worker imports Ray, which takes a second.
    from models.executors.cluster import Resources, check_nodes, connect, disconnect
    from models.executors.ray import RayExecutor, StoredInputs
    from models.executors.slot import SlotOptions

    connect(settings.ray_address)
    try:
        # The nodes need no access to the database.
        public = replace(settings, database_url="", api_keys="")
        prepare = pickle.dumps(partial(_prepare_on_node, public))
        options = SlotOptions(
            memory, growth, prepare, sees_gpus=settings.ray_gpus > 0, mark=artifacts.mark()
        )
        resources = Resources(settings.ray_cpus, settings.ray_gpus)
        check_nodes(options, resources)
    except BaseException:
        disconnect()
        raise
    return RayExecutor(
        options,
        resources,
        settings.trial_slots,
        StoredInputs(artifacts, datasets_of),
        settings.ray_idle_seconds,
        on_close=disconnect,
    )


def datasets_of(payload: object) -> list[str]:
    """Return the folders, below the artifact root, of the datasets that a task reads."""
    if isinstance(payload, ExportSpec):
        payload = payload.trial
    if not isinstance(payload, TrialSpec | ComparisonSpec):
        return []
    data = payload.data
    others = (data.evaluation.validation_dataset, data.evaluation.test_dataset)
    return [dataset_folder(name) for name in (data.dataset, *others) if name is not None]


def _prepare_on_node(settings: Settings, copies: Path) -> None:
    """Prepare a process of a Ray node, which finds datasets below the folder `copies`."""
    _prepare(settings)
    Artifacts.copies = copies


def _prepare(settings: Settings) -> None:
    Artifacts.patience = _PATIENCE
    prepare_trials(settings)
    try:
        with tempfile.TemporaryDirectory() as folder:
            warm_up_tasks(folder)
    except Exception as error:
        # The first export takes a second longer, and that is all.
        log.warning("the process was not made ready for exports: %s", error)
    Artifacts.makes_roots = False  # only now: the warming up makes one
    # As `models.trials.process.warm_up` says.
    gc.freeze()


def warm_up_tasks(folder: str) -> None:
    """Train a trial on a few rows, measure it as for a forecast, and export a version of it.

    The packages that only forecasts and exports need are imported, and TensorFlow sets up what they
    use, when they are first needed: a second that the first winner would otherwise wait for.
    """
    # TensorFlow is imported with these, for which the process must have been prepared.
    from models.data.library.storage import write_dataset
    from models.registry.building import build_version, measure_savings
    from models.trials.calibration import CostModel, measure
    from models.trials.data import forget, prepare

    numbers = np.arange(float(_WARM_UP_ROWS))
    artifacts = Artifacts(folder)
    write_dataset(from_arrays(numbers[:, None], numbers), artifacts, "warm-up")
    trial = TrialSpec(
        job="warm-up",
        number=1,
        network="mlp",
        values={"num_layers": 1, "units": 1},
        data=DataRef(folder, "warm-up", "y", Task.REGRESSION, Evaluation(), seed=0),
        objective=Objective("loss", "min"),
        epochs=1,
        seed=0,
        weights="warm-up/1",
    )
    build_version(ExportSpec("warm-up", 1, trial, run_trial(trial)))
    fold = prepare(trial.data).folds[0]
    CostModel([measure(trial.network, trial.values, fold)])
    measure_savings(trial.network, [(trial.values, fold)])
    forget()
