"""Run one trial, the entry point in a trial process; its best weights as stored files."""

import hashlib
import io
import itertools
import json
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from zipfile import BadZipFile

import numpy as np
import psutil

from models.errors import ArtifactError, Unavailable
from models.store.artifacts import Artifacts
from models.trials.data import PreparedData, encoding_of, prepare
from models.trials.monitor import monitored_metric
from models.trials.scoring import combine, diverged, report_run
from models.trials.spec import Failure, FailureKind, TrialResult, TrialSpec, weights_name
from models.trials.trainers.base import (
    EpochReport,
    Report,
    Run,
    RunResult,
    Trainer,
    Weights,
    check_targets,
)

logger = logging.getLogger(__name__)

MeasureLatency = Callable[[TrialSpec, Weights], float]
"""Returns the milliseconds that a network of these weights takes for one row."""

_MEMORY_SECONDS = 0.05  # minimum time between two readings of a process's memory


def run_trial(
    spec: TrialSpec,
    report: Report | None = None,
    trainer: Trainer | None = None,
    measure_latency: MeasureLatency | None = None,
) -> TrialResult:
    """Train every fold and execution of a trial, combine the scores, store the best weights.

    `report` receives every epoch and ends the trial by returning True; such a trial is scored by
    the runs it had finished, or by the best epoch of its first. `trainer` is the one that suits
    the trial unless it is given. A trial with a `parent` continues, run by run, from the best
    weights of the parent, which is trained again if they are gone; the optimizer's own state
    starts anew. A trial that needs its latency needs `measure_latency`. Any
    error becomes the result's `failure`, except that Unavailable is raised where
    the artifacts do not answer: the trial is not to blame. The process should be one that
    `prepare_process` has prepared.
    """
    memory = PeakMemory(report)
    try:
        result = _train_and_score(spec, memory, trainer, measure_latency)
    except MemoryError as error:
        return _failed(FailureKind.OUT_OF_MEMORY, f"Not enough memory: {error}")
    except Unavailable:
        raise
    except Exception as error:
        logger.error("Trial %s of job %s failed.", spec.number, spec.job, exc_info=error)
        return _failed(FailureKind.ERROR, f"{type(error).__name__}: {error}")
    return replace(result, memory_bytes=memory.bytes)


def train_if_missing(
    spec: TrialSpec,
    result: TrialResult | None = None,
    measure_latency: MeasureLatency | None = None,
) -> TrialResult | None:
    """Train a scored trial once more if not all of its weights are stored; return its result then.

    A trial that reused the result of an equal one has weights only if the other kept them. With
    the `result` that it had, every run ends where it ended then: the trial may have been stopped.
    """
    artifacts = Artifacts(spec.data.artifacts_root)
    if result is None:
        data = prepare(spec.data, encoding_of(spec.values))
        runs = itertools.product(range(len(data.folds)), range(spec.executions))
        ends = dict.fromkeys(runs, spec.epochs)
    else:
        ends = {(run.fold, run.execution): run.epochs for run in result.folds}
    if all(artifacts.exists(weights_name(spec.weights, *run)) for run in ends):
        return None

    def has_ended(epoch: EpochReport) -> bool:
        return epoch.epoch >= ends.get((epoch.fold, epoch.execution), 0)

    return run_trial(spec, has_ended, measure_latency=measure_latency)


def _train_and_score(
    spec: TrialSpec,
    report: Report,
    trainer: Trainer | None,
    measure_latency: MeasureLatency | None,
) -> TrialResult:
    if spec.epochs <= spec.initial_epoch:
        raise ValueError(f"No epoch lies between {spec.initial_epoch} and {spec.epochs}.")
    data = prepare(spec.data, encoding_of(spec.values))
    training = [fold.training for fold in data.folds]
    for fold in training:
        check_targets(spec.values, fold)
    if spec.parent is not None:
        train_if_missing(spec.parent, measure_latency=measure_latency)
    if trainer is None:
        # The parent process imports this file to send its functions; TensorFlow stays out of it.
        from models.trials.trainers.choice import choose_trainer

        trainer = choose_trainer(spec.network, spec.values, training[0])
    runs = _plan_runs(spec, len(training))
    results = trainer.train(runs, training, report)
    scored = _score(spec, data, runs, results, measure_latency)
    return replace(scored, trainer=trainer.name)


def _score(
    spec: TrialSpec,
    data: PreparedData,
    runs: Sequence[Run],
    results: Sequence[RunResult],
    measure_latency: MeasureLatency | None,
) -> TrialResult:
    """Combine the scores of the runs that were trained, and store their weights."""
    if results[-1].diverged:
        return diverged(results, runs)
    is_stopped = results[-1].stopped
    if is_stopped and len(results) > 1:
        # A run that had just begun would spoil the mean of the finished ones.
        results = results[:-1]
    names = [weights_name(spec.weights, run.fold, run.execution) for run in runs]
    network_metrics = {}
    if spec.needs_latency:
        if measure_latency is None:
            raise ValueError("Nothing measures the latency that the trial needs.")
        network_metrics["latency_ms"] = measure_latency(spec, results[0].weights)
    reports = [
        report_run(run, result, data.folds[run.fold], spec.objective, name, network_metrics)
        for run, result, name in zip(runs, results, names, strict=False)
    ]
    combined = combine(reports, results, spec, data.reference_loss)
    if not spec.objective.is_better(spec.to_beat, combined.score):
        artifacts = Artifacts(spec.data.artifacts_root)
        for name, result in zip(names, results, strict=False):
            save_weights(artifacts, name, result.weights)
    return replace(combined, stopped=is_stopped)


def _failed(kind: FailureKind, message: str) -> TrialResult:
    return TrialResult(failure=Failure(kind, message))


def _plan_runs(spec: TrialSpec, folds: int) -> list[Run]:
    artifacts = Artifacts(spec.data.artifacts_root)
    return [
        Run(
            fold=fold,
            execution=execution,
            seed=_run_seed(spec, fold, execution),
            network=spec.network,
            values=spec.values,
            epochs=spec.epochs,
            initial_epoch=spec.initial_epoch,
            initial_weights=(
                None
                if spec.parent is None
                else load_weights(artifacts, weights_name(spec.parent.weights, fold, execution))
            ),
            early_stopping=spec.early_stopping,
            monitor=monitored_metric(
                spec.data.task, spec.objective, spec.early_stopping, spec.data.class_weight
            ),
        )
        for fold in range(folds)
        for execution in range(spec.executions)
    ]


def _run_seed(spec: TrialSpec, fold: int, execution: int) -> int:
    """Return a seed below 2**30 of its own for each run and each part of a continued training.

    It depends on the values too, so that the trials of a job do not share the luck of one order
    of rows, while equal trials have equal seeds in every job.
    """
    values = hashlib.sha256(json.dumps(dict(spec.values), sort_keys=True).encode()).digest()
    sequence = np.random.SeedSequence(
        [spec.seed, fold, execution, spec.initial_epoch, int.from_bytes(values[:8])]
    )
    return int(sequence.generate_state(1)[0]) >> 2


class PeakMemory:
    """Reads the process's resident memory as epochs are reported, and passes the reports on."""

    def __init__(self, report: Report | None = None) -> None:
        self.bytes = 0
        self._report = report
        self._process = psutil.Process()
        self._next_reading = 0.0  # by the monotonic clock

    def __call__(self, epoch: EpochReport) -> bool | None:
        """Note the memory at the end of an epoch; return the answer of the wrapped report."""
        if time.monotonic() >= self._next_reading:
            self.bytes = max(self.bytes, self._process.memory_info().rss)
            self._next_reading = time.monotonic() + _MEMORY_SECONDS
        return self._report(epoch) if self._report is not None else None


def save_weights(artifacts: Artifacts, name: str, weights: Weights) -> None:
    """Store the arrays as .npz, numbered in the order of `keras.Model.get_weights`."""
    buffer = io.BytesIO()
    numbered = {str(number): array for number, array in enumerate(weights)}
    np.savez(buffer, allow_pickle=False, **numbered)
    artifacts.write(name, buffer.getvalue())


def load_weights(artifacts: Artifacts, name: str) -> Weights:
    """Return the arrays that `save_weights` stored; raise ArtifactError if they cannot be read."""
    content = io.BytesIO(artifacts.read(name))
    try:
        with np.load(content, allow_pickle=False) as arrays:
            return [arrays[str(number)] for number in range(len(arrays.files))]
    except (ValueError, KeyError, OSError, BadZipFile) as error:
        raise ArtifactError(f"The stored weights {name!r} cannot be read: {error}") from None
