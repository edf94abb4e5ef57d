"""Jobs side by side, where their scores mean the same."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from models.errors import Invalid, NotFound, Unreadable
from models.jobs.model import Job, JobState, Outcome, TrialState
from models.jobs.reader import JobReader
from models.registry.catalog.catalog import ModelCatalog
from models.registry.documents import Figures
from models.reports.curves import (
    Curve,
    RegretScale,
    area_over_seconds,
    area_over_trials,
    best_so_far,
    regret_scale,
)
from models.trials.spec import CLASS_METRICS, Objective

MAX_JOBS = 20

Interval = Sequence[float]  # low and high


@dataclass(frozen=True, slots=True)
class HeldOutScore:
    """The scores of a registered version on rows that the search never saw."""

    rows: int
    score: float | None  # the job's objective on them
    baseline: float | None  # the same of always giving the mean or the class shares
    interval: Interval | None  # 95 %, of `score`
    baseline_interval: Interval | None
    metrics: Figures
    baseline_metrics: Figures


@dataclass(frozen=True, slots=True)
class ComparedJob:
    """The results of one job."""

    id: str
    model: str
    strategy: str
    state: JobState
    objective: Objective
    best_trial: int | None
    best_score: float | None
    spread: float | None  # of the best trial's score over folds and executions
    completed: int
    failed: int
    stopped: int
    seconds: float  # of searching
    seconds_to_best: float | None  # from the start of the first trial to the end of the best
    trials_to_best: int | None  # trials that had ended by then, the best one included
    curve: Curve
    area_over_trials: float | None
    area_over_seconds: float | None
    version: int | None
    held_out: HeldOutScore | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Jobs side by side, in the order in which they were asked for."""

    jobs: tuple[ComparedJob, ...]
    differences: tuple[str, ...]  # why their scores do not mean the same; empty unless forced
    trials: int  # that the areas over trials go up to: the most of any job
    seconds: float  # that the areas over seconds go up to: the longest of any job


def compare(
    ids: Sequence[str], jobs: JobReader, models: ModelCatalog, *, force: bool = False
) -> Comparison:
    """Put 2 to 20 jobs side by side.

    Raises NotFound for an unknown job, and Invalid at `jobs` for too few or too many, for one that
    is named twice and, unless `force` is set, for jobs whose scores do not mean the same. The areas
    are None if dataset, target, task or objective differ.
    """
    if not 2 <= len(ids) <= MAX_JOBS:
        raise Invalid.at("jobs", f"Name 2 to {MAX_JOBS} jobs, not {len(ids)}.")
    if len(set(ids)) < len(ids):
        raise Invalid.at("jobs", "Name every job once.")
    found = [jobs.get(identity) for identity in ids]
    differences = find_differences(found)
    if differences and not force:
        raise Invalid.at(
            "jobs",
            f"Their scores do not mean the same. {' '.join(differences)}"
            " Set force=true to compare them all the same.",
        )
    outcomes = [jobs.outcomes(job) for job in found]
    curves = [
        best_so_far(each, job.spec.objective) for job, each in zip(found, outcomes, strict=True)
    ]
    scale = _common_scale(found, outcomes)
    trials = max(len(curve.numbers) for curve in curves)
    seconds = max((curve.seconds[-1] for curve in curves if curve.seconds), default=0.0)
    return Comparison(
        jobs=tuple(
            _compared(job, each, curve, scale, trials, seconds, jobs, models)
            for job, each, curve in zip(found, outcomes, curves, strict=True)
        ),
        differences=tuple(differences),
        trials=trials,
        seconds=seconds,
    )


def find_differences(jobs: Sequence[Job]) -> list[str]:
    """List, as sentences, what makes the scores of `jobs` incomparable.

    Built-in datasets are told apart by the digest of their rows once one of the jobs has loaded
    them.
    """
    loaded = _loaded(jobs)
    first = _measure(jobs[0], loaded) | _division(jobs[0])
    found = []
    for job in jobs[1:]:
        other = _measure(job, loaded) | _division(job)
        found += [
            f"{name}: {first.get(name, 'none')} in {jobs[0].id},"
            f" {other.get(name, 'none')} in {job.id}."
            for name in dict.fromkeys([*first, *other])
            if first.get(name) != other.get(name)
        ]
    return found


def held_out_score(job: Job, models: ModelCatalog) -> HeldOutScore | None:
    """Return the test of a job's registered version.

    None without a version that can be read, or without test rows.
    """
    if job.version is None:
        return None
    try:
        version = models.version(job.model, job.version)
        metrics, baseline, test = version.metrics, version.baseline, version.evidence["test"]
    except (NotFound, Unreadable):
        return None
    if metrics is None or baseline is None:
        return None
    metric = job.spec.objective.metric
    return HeldOutScore(
        rows=test["rows"],
        score=metrics.get(metric),
        baseline=baseline.get(metric),
        interval=(version.intervals or {}).get(metric),
        baseline_interval=(version.baseline_intervals or {}).get(metric),
        metrics=metrics,
        baseline_metrics=baseline,
    )


def _measure(job: Job, loaded: Mapping[str, str]) -> dict[str, str]:
    """Describe what a score measures."""
    spec = job.spec
    return {
        "dataset": job.dataset or loaded.get(spec.dataset, spec.dataset),
        "target": repr(spec.target),
        "task": str(spec.task),
        "objective": ", ".join(map(_name_of, spec.objectives)),
        "constraints": ", ".join(sorted(map(str, spec.constraints))) or "none",
    }


def _name_of(objective: Objective) -> str:
    """Describe an objective; the class matters to some metrics only."""
    counted = objective.positive_class if objective.metric in CLASS_METRICS else None
    of_class = "" if counted is None else f" of class {counted!r}"
    return f"{objective.direction} {objective.metric}{of_class}"


def _division(job: Job) -> dict[str, str]:
    """Describe which rows are validated and tested on, as far as the request says."""
    evaluation = job.spec.evaluation
    names = ["method", "test_fraction"]
    if evaluation.method == "cv":
        names.append("folds")
    elif evaluation.validation_dataset is not None:
        names.append("validation_dataset")
    elif evaluation.method == "holdout":
        names.append("validation_fraction")
    names += [name for name in ("group", "time", "test_dataset") if getattr(evaluation, name)]
    found = {f"evaluation.{name}": str(getattr(evaluation, name)) for name in names}
    is_drawn = evaluation.test_fraction > 0 or evaluation.parts > 1
    if is_drawn and evaluation.time is None:
        found["seed (of the split)"] = str(evaluation.seed_of(job.spec.seed))
    return found


def _common_scale(jobs: Sequence[Job], outcomes: Sequence[Sequence[Outcome]]) -> RegretScale | None:
    loaded = _loaded(jobs)
    if any(_measure(job, loaded) != _measure(jobs[0], loaded) for job in jobs):
        return None
    scores = [
        item.score for each in outcomes for item in each if item.fits and item.score is not None
    ]
    return regret_scale(scores, jobs[0].spec.objective)


def _loaded(jobs: Sequence[Job]) -> dict[str, str]:
    return {job.spec.dataset: job.dataset for job in jobs if job.dataset is not None}


def _compared(
    job: Job,
    outcomes: Sequence[Outcome],
    curve: Curve,
    scale: RegretScale | None,
    trials: int,
    seconds: float,
    jobs: JobReader,
    models: ModelCatalog,
) -> ComparedJob:
    states = [item.state for item in outcomes]
    best = jobs.best_trial(job)
    place = curve.improvement
    return ComparedJob(
        id=job.id,
        model=job.model,
        strategy=job.spec.strategy.name,
        state=job.state,
        objective=job.spec.objective,
        best_trial=best.number if best else None,
        best_score=best.score if best else None,
        spread=(best.result or {}).get("spread") if best else None,
        completed=states.count(TrialState.COMPLETED),
        failed=states.count(TrialState.FAILED),
        stopped=states.count(TrialState.STOPPED),
        seconds=job.seconds,
        seconds_to_best=None if place is None else curve.seconds[place],
        trials_to_best=None if place is None else place + 1,
        curve=curve,
        area_over_trials=None if scale is None else area_over_trials(curve, scale, trials),
        area_over_seconds=None if scale is None else area_over_seconds(curve, scale, seconds),
        version=job.version,
        held_out=held_out_score(job, models),
    )
