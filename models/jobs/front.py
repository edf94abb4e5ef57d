"""The front of a job: the trials that no other trial beats by every objective.

Only trials that keep every constraint are on it. Where trials have several runs, stopped ones,
which were scored on fewer of them, are on it only if none completed. Of trials with equal scores
the first one stands for all.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from models.jobs.model import Outcome, Trial, TrialState
from models.jobs.spec import JobSpec
from models.trials.spec import Objective

MAX_PROGRESS = 200
MAX_KEPT = 20  # trials that an ensemble is chosen from

Point = tuple[float, ...]  # one loss for each objective: the smaller, the better
Scored = TypeVar("Scored", Trial, Outcome)


@dataclass(frozen=True, slots=True)
class Progress:
    """The hypervolume after a trial."""

    trial: int  # the last of those that count
    hypervolume: float


@dataclass(frozen=True, slots=True)
class Front:
    """The front of a job, and how it grew.

    `hypervolume` is the share of the box between `best` and `reference` that the front dominates.
    The box spans the best and the worst score of all trials that could be on the front, so it is
    known only when they have ended: the progress is reckoned in the box of this moment.
    """

    objectives: tuple[Objective, ...]
    trials: tuple[Outcome, ...]  # best of the first objective first
    best: Mapping[str, float]  # by metric
    reference: Mapping[str, float]  # the worst score, by metric
    hypervolume: float | None  # 0 to 1; None without trials
    # In the order in which the trials ended; of more than MAX_PROGRESS, after some of them.
    progress: tuple[Progress, ...]


def scores_of(objectives: Sequence[Objective], trial: Trial | Outcome) -> dict[str, float]:
    """Return the scores of a trial by metric, in the order of the objectives."""
    first = objectives[0]
    if len(objectives) == 1 or trial.scores is None:
        return {} if trial.score is None else {first.metric: trial.score}
    return {o.metric: trial.scores[o.metric] for o in objectives if o.metric in trial.scores}


def losses(objectives: Sequence[Objective], scores: Mapping[str, float] | None) -> Point:
    """Return the losses of several objectives; none where there is one, or no score."""
    if not scores:
        return ()
    return tuple(each.loss(scores.get(each.metric)) for each in objectives)


def front_of(spec: JobSpec, trials: Iterable[Scored]) -> list[Scored]:
    """Return the front of some trials of a job, the best of the first objective first."""
    points = _candidates(spec, trials)
    # In this order, none is dominated by one that follows.
    ordered = sorted(points, key=lambda each: (each[0], each[1].number))
    kept = np.empty((len(ordered), len(spec.objectives)))
    front: list[Scored] = []
    for point, trial in ordered:
        if not (kept[: len(front)] <= point).all(axis=1).any():
            kept[len(front)] = point
            front.append(trial)
    return front


def kept_of(spec: JobSpec, trials: Iterable[Scored]) -> list[Scored]:
    """Return the trials whose weights a version may need, the best one first.

    They are the front; of one objective, where several trials may make an ensemble, the MAX_KEPT
    best ones.
    """
    if not spec.keeps_several:
        return front_of(spec, trials)
    ordered = sorted(_candidates(spec, trials), key=lambda each: (each[0], each[1].number))
    return [trial for _, trial in ordered[:MAX_KEPT]]


def read_front(spec: JobSpec, outcomes: Sequence[Outcome]) -> Front:
    """Return the front of a job with the hypervolume over its trials."""
    objectives, points = spec.objectives, _candidates(spec, outcomes)
    ended = sorted(points, key=lambda each: (each[1].finished is None, each[1].finished))
    columns = list(zip(*(point for point, _ in points), strict=True))
    low, high = [min(each) for each in columns], [max(each) for each in columns]
    scaled = [_scaled(point, low, high) for point, _ in ended]
    kept = np.empty((0, len(objectives)))
    progress: list[Progress] = []
    volume: float | None = None  # of `kept`, once it is known
    step = math.ceil(len(ended) / MAX_PROGRESS)
    for place, (point, (_, trial)) in enumerate(zip(scaled, ended, strict=True), 1):
        if not (kept <= point).all(axis=1).any():
            kept = np.vstack([kept[(kept < point).any(axis=1)], point])
            volume = None
        if place % step == 0 or place == len(ended):
            volume = hypervolume(kept.tolist()) if volume is None else volume
            progress.append(Progress(trial.number, volume))
    return Front(
        objectives=objectives,
        trials=tuple(front_of(spec, outcomes)),
        best=_scores(objectives, low),
        reference=_scores(objectives, high),
        hypervolume=progress[-1].hypervolume if progress else None,
        progress=tuple(progress),
    )


def hypervolume(points: Sequence[Sequence[float]]) -> float:
    """Return the volume of the unit cube that points dominate, each smaller being better.

    By slices along the last objective (While et al., IEEE TEC 10(1), 2006).
    """
    if not points:
        return 0.0
    if len(points[0]) == 1:
        return 1.0 - min(point[0] for point in points)
    if len(points[0]) == 2:
        return _area(points)
    ordered = sorted(points, key=lambda point: point[-1])
    ends = [*(point[-1] for point in ordered[1:]), 1.0]
    volume = 0.0
    for count, (point, end) in enumerate(zip(ordered, ends, strict=True), 1):
        if end > point[-1]:
            volume += (end - point[-1]) * hypervolume([each[:-1] for each in ordered[:count]])
    return volume


def _area(points: Sequence[Sequence[float]]) -> float:
    """Return the hypervolume of two objectives."""
    area, lowest = 0.0, 1.0
    for across, up in sorted(map(tuple, points)):
        if up < lowest:
            area += (1.0 - across) * (lowest - up)
            lowest = up
    return area


def _candidates(spec: JobSpec, trials: Iterable[Scored]) -> list[tuple[Point, Scored]]:
    objectives = spec.objectives
    fitting = [trial for trial in trials if trial.fits]
    if spec.runs > 1:
        fitting = [each for each in fitting if each.state == TrialState.COMPLETED] or fitting
    found = []
    for trial in fitting:
        scores = scores_of(objectives, trial)
        if len(scores) == len(objectives):
            found.append((tuple(o.loss(scores[o.metric]) for o in objectives), trial))
    return found


def _scaled(point: Point, low: Sequence[float], high: Sequence[float]) -> Point:
    """Return a point in the unit cube; it is at 0 where all trials have equal scores."""
    return tuple(
        (loss - least) / (most - least) if most > least else 0.0
        for loss, least, most in zip(point, low, high, strict=True)
    )


def _scores(objectives: Sequence[Objective], losses: Sequence[float]) -> dict[str, float]:
    return {
        each.metric: loss if each.is_minimized else -loss
        for each, loss in zip(objectives, losses, strict=False)
    }
