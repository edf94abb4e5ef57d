"""Results that equal trials share, within a job and across jobs."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from statistics import pstdev
from typing import Any

from models.errors import ArtifactError
from models.jobs.lifecycle import TrialState
from models.jobs.records import Trial
from models.jobs.spec import JobSpec
from models.store.artifacts import Artifacts
from models.trials.network_weights import weights_name
from models.trials.objective import Objective
from models.trials.spec import TrialResult

# To be raised when the same digest no longer stands for the same training.
_TRAINING = 3


def training_digest(
    spec: JobSpec,
    dataset: str,
    values: Mapping[str, Any],
    epochs: int,
    initial_epoch: int = 0,
    parent: str | None = None,
) -> str:
    """A SHA-256, in hex, of all that the result of a trial follows from.

    `dataset` is the id of the stored rows, which is their own digest, and `parent` the digest of
    the trial that it continues. The objective is no part of it: every metric is in the result.
    """
    document = [
        _TRAINING,
        dataset,
        spec.target,
        spec.features,
        spec.task,
        asdict(spec.evaluation),
        spec.seed,
        spec.network,
        values,
        spec.executions,
        spec.early_stopping and asdict(spec.early_stopping),
        epochs,
        initial_epoch,
        parent,
    ]
    if spec.class_weight is not None or spec.sample_weight is not None:
        # Only then, so that results of trials without weights keep the digests that they have.
        document.append({"class": spec.class_weight, "sample": spec.sample_weight})
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def carried_over(source: Trial, objective: Objective, folder: str) -> TrialResult | None:
    """The result of `source` as a trial of another objective has it, its weights in `folder`.

    None where it has no such metric.
    """
    result = source.stored_result()
    score = (result.metrics or {}).get(objective.metric)
    if score is None:
        return None
    scores = [run.metrics[objective.metric] for run in result.folds]
    folds = tuple(
        replace(run, score=own, weights=weights_name(folder, run.fold, run.execution))
        for run, own in zip(result.folds, scores, strict=True)
    )
    return replace(
        result,
        score=score,
        spread=pstdev(known for known in scores if known is not None) if folds else result.spread,
        folds=folds,
        weights=tuple(run.weights for run in folds),
        seconds=0.0,
        stopped=source.state == TrialState.STOPPED,
    )


def copy_weights(artifacts: Artifacts, source: Trial, result: TrialResult) -> None:
    """Store the weights of `source` where `result` says; those that are gone stay so."""
    for old, new in zip(source.stored_result().weights, result.weights, strict=True):
        try:
            artifacts.write(new, artifacts.read(old))
        except ArtifactError:
            return
