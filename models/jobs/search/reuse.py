"""Results that equal trials share, within a job and across jobs.

Trials are equal if everything that their result follows from is equal; a digest of that finds them.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from models.errors import ArtifactError, Unreadable
from models.jobs.model import SCORED, Job, Trial, TrialRef, TrialState
from models.jobs.spec import JobSpec
from models.jobs.store.held_job import HeldJob
from models.store.artifacts import Artifacts
from models.trials.monitor import VALIDATION_LOSS
from models.trials.spec import EarlyStopping, TrialResult, needs_latency, scored_by, weights_name

# To be raised when the same digest no longer stands for the same training.
_TRAINING = 4


def training_digest(
    spec: JobSpec,
    dataset: str,
    values: Mapping[str, Any],
    epochs: int,
    initial_epoch: int = 0,
    parent: str | None = None,
) -> str:
    """Return a SHA-256, in hex, of all that the result of a trial follows from.

    `dataset` is the id of the stored rows, which is their own digest, and `parent` the digest of
    the trial that it continues. Of the objective the metric that training monitors is a part, and
    the class that metrics count: every metric is in the result. What requests could not ask for in
    the past is added only where it is asked for, so that older results keep their digests.
    """
    document = [
        _TRAINING,
        dataset,
        spec.target,
        spec.features,
        spec.task,
        _evaluation(spec),
        spec.seed,
        spec.network,
        values,
        spec.executions,
        _patience(spec.early_stopping),
        epochs,
        initial_epoch,
        parent,
    ]
    if spec.class_weight is not None or spec.sample_weight is not None:
        document.append({"class": spec.class_weight, "sample": spec.sample_weight})
    if spec.allow_negative:
        document.append("allow_negative")
    if spec.monitor != VALIDATION_LOSS:
        document.append({"monitor": spec.monitor.series})
    if spec.early_stopping is not None and spec.early_stopping.start_from_epoch:
        document.append({"start_from_epoch": spec.early_stopping.start_from_epoch})
    if spec.objective.positive_class is not None:
        document.append({"positive_class": spec.objective.positive_class})
    if needs_latency(spec.objectives, spec.constraints):
        document.append("latency_ms")
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def _patience(rule: EarlyStopping | None) -> dict[str, float] | None:
    return None if rule is None else {"patience": rule.patience, "min_delta": rule.min_delta}


def _evaluation(spec: JobSpec) -> dict[str, Any]:
    """Describe the rows that trials see: a test dataset is not among them."""
    evaluation = spec.evaluation
    return asdict(evaluation) | {"test_dataset": None, "seed": evaluation.seed_of(spec.seed)}


class EqualTrials:
    """The trials of one job by their digest; `trials` are those of the search, by number."""

    def __init__(self, job: Job, held: HeldJob, trials: Mapping[int, Trial]) -> None:
        self._job = job
        self._held = held
        self._trials = trials
        self._digests: dict[int, str] = {}
        self._running: dict[str, int] = {}  # digest -> trial
        self._scored: dict[str, int] = {}  # digest -> the first trial with that result

    @property
    def any_running(self) -> bool:
        """Whether a trial is being trained."""
        return bool(self._running)

    def is_running(self, trial: Trial) -> bool:
        """Return whether a trial equal to this one is being trained."""
        return self.digest(trial) in self._running

    def note(self, trial: Trial) -> None:
        """Take the new state of a trial into account."""
        if trial.state == TrialState.RUNNING:
            self._running[self.digest(trial)] = trial.number
            return
        self._running.pop(self.digest(trial), None)
        if trial.state in SCORED:
            self._scored.setdefault(self.digest(trial), trial.number)

    def find(self, trial: Trial) -> tuple[TrialRef, Trial] | None:
        """Return a scored trial equal to this one, of this job or, where allowed, of another."""
        digest = self.digest(trial)
        number = self._scored.get(digest)
        if number is not None:
            return TrialRef(self._job.id, number), self._held.trial(number)
        return self._held.equal_elsewhere(digest) if self._job.spec.reuse else None

    def answer(
        self, trial: Trial, artifacts: Artifacts, folder: str
    ) -> tuple[TrialRef, TrialResult] | None:
        """Return an equal trial and its result, scored as this job does, with weights in `folder`.

        None if there is no such trial, or its result has no such score.
        """
        found = self.find(trial)
        if found is None:
            return None
        reference, source = found
        try:
            result = reused_result(source, self._job.spec, folder)
        except Unreadable:
            return None
        if result is None:
            return None
        copy_weights(artifacts, source, result)
        return reference, result

    def parent(self, trial: Trial) -> Trial | None:
        """Return the trial that `trial` continues, unless that one has no score."""
        parent = self._trials.get(trial.parent) if trial.parent else None
        return parent if parent is not None and parent.state in SCORED else None

    def digest(self, trial: Trial) -> str:
        """Return the digest of a trial: the same for trials that would be trained alike."""
        if trial.number not in self._digests:
            assert self._job.dataset is not None
            parent = self.parent(trial)
            self._digests[trial.number] = training_digest(
                self._job.spec,
                self._job.dataset,
                trial.values,
                trial.epochs,
                trial.initial_epoch if parent else 0,
                self.digest(parent) if parent else None,
            )
        return self._digests[trial.number]


def reused_result(source: Trial, spec: JobSpec, folder: str) -> TrialResult | None:
    """Return the result of `source` scored as `spec` asks, with its weights in `folder`.

    None where it lacks a metric of the objectives or constraints.
    """
    try:
        result = scored_by(source.stored_result(), spec.objectives, spec.constraints)
    except KeyError:
        return None
    if result.failure is not None:
        return None
    folds = tuple(
        replace(run, weights=weights_name(folder, run.fold, run.execution)) for run in result.folds
    )
    return replace(
        result,
        folds=folds,
        weights=tuple(run.weights for run in folds),
        seconds=0.0,
        stopped=source.state == TrialState.STOPPED,
    )


def copy_weights(artifacts: Artifacts, source: Trial, result: TrialResult) -> None:
    """Store the weights of `source` where `result` says; missing ones stay missing."""
    for old, new in zip(source.stored_result().weights, result.weights, strict=True):
        try:
            artifacts.write(new, artifacts.read(old))
        except ArtifactError:
            return
