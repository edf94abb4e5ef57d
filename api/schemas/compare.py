"""Jobs side by side."""

import csv
import io
from typing import Any

import marshmallow as ma
from marshmallow.validate import Length, OneOf
from webargs.fields import DelimitedList

from api.schemas.fields import described
from models.reports.comparison import MAX_JOBS, ComparedJob, Comparison, HeldOutScore


class CompareQuery(ma.Schema):
    """Which jobs to put side by side, and in which form."""

    jobs = DelimitedList(
        ma.fields.String(validate=Length(1, 64)),
        required=True,
        metadata=described(f"Ids of 2 to {MAX_JOBS} jobs, with commas between."),
    )
    force = ma.fields.Boolean(
        load_default=False,
        metadata=described("Compare jobs whose scores do not mean the same, too."),
    )
    format = ma.fields.String(
        load_default=None,
        validate=OneOf(["json", "csv", "png"]),
        metadata=described("Goes before the `Accept` header. Default: `json`."),
    )


class CurveSchema(ma.Schema):
    """The best score so far; one entry for each trial that has ended, in order of their ends."""

    trials = ma.fields.List(ma.fields.Integer(), metadata=described("1, 2, 3, …"))
    numbers = ma.fields.List(ma.fields.Integer(), metadata=described("Of the trials."))
    seconds = ma.fields.List(
        ma.fields.Float(),
        metadata=described("From the start of the first trial to this one's end, pauses included."),
    )
    best = ma.fields.List(
        ma.fields.Float(allow_none=True), metadata=described("Null before the first score.")
    )


class TrialCountsSchema(ma.Schema):
    """How many trials came to what."""

    completed = ma.fields.Integer()
    failed = ma.fields.Integer()
    stopped = ma.fields.Integer()


class HeldOutScoreSchema(ma.Schema):
    """How good the registered version is on rows that the search never saw."""

    rows = ma.fields.Integer()
    score = ma.fields.Float(allow_none=True, metadata=described("The job's objective on them."))
    baseline = ma.fields.Float(
        allow_none=True, metadata=described("The same of always answering mean or majority.")
    )
    metrics = ma.fields.Dict()
    baseline_metrics = ma.fields.Dict()


class ComparedJobSchema(ma.Schema):
    """What one job came to."""

    id = ma.fields.String()
    model = ma.fields.String()
    strategy = ma.fields.String()
    state = ma.fields.String()
    objective = ma.fields.Dict()
    best_trial = ma.fields.Integer(allow_none=True)
    best_score = ma.fields.Float(allow_none=True)
    spread = ma.fields.Float(
        allow_none=True,
        metadata=described("Of the best trial's score over its folds and executions."),
    )
    trials = ma.fields.Nested(TrialCountsSchema)
    seconds = ma.fields.Float(metadata=described("Seconds of searching."))
    seconds_to_best = ma.fields.Float(
        allow_none=True,
        metadata=described("From the start of the first trial to the end of the best."),
    )
    trials_to_best = ma.fields.Integer(
        allow_none=True, metadata=described("Trials that had ended by then, the best included.")
    )
    curve = ma.fields.Nested(CurveSchema)
    area_over_trials = ma.fields.Float(
        allow_none=True,
        metadata=described(
            "Mean regret of the best score so far over `area_trials` trials: 0 for the best score"
            " of all these jobs, 1 for their median or worse. Less is better."
        ),
    )
    area_over_seconds = ma.fields.Float(
        allow_none=True, metadata=described("The same over the first `area_seconds` seconds.")
    )
    version = ma.fields.Integer(allow_none=True)
    held_out = ma.fields.Nested(
        HeldOutScoreSchema,
        allow_none=True,
        metadata=described("Null without a registered version or without test rows."),
    )


class ComparisonSchema(ma.Schema):
    """Jobs side by side, in the order asked for."""

    items = ma.fields.List(ma.fields.Nested(ComparedJobSchema))
    differences = ma.fields.List(
        ma.fields.String(),
        metadata=described("Why their scores do not mean the same; empty unless forced."),
    )
    area_trials = ma.fields.Integer(
        metadata=described("Most trials that have ended in any of the jobs.")
    )
    area_seconds = ma.fields.Float(metadata=described("End of the longest of the curves."))


def comparison_body(found: Comparison) -> dict[str, Any]:
    """A comparison as `ComparisonSchema` describes it."""
    return {
        "items": [_job_body(job) for job in found.jobs],
        "differences": found.differences,
        "area_trials": found.trials,
        "area_seconds": found.seconds,
    }


def comparison_csv(found: Comparison) -> str:
    """A comparison as a table, one line a job, without the curves; empty cells for nulls."""
    lines = [_job_line(job) for job in found.jobs]
    file = io.StringIO()
    writer = csv.DictWriter(file, list(lines[0]))
    writer.writeheader()
    writer.writerows(lines)
    return file.getvalue()


def _job_body(job: ComparedJob) -> dict[str, Any]:
    curve = job.curve
    return {
        **{name: getattr(job, name) for name in _PLAIN},
        "state": str(job.state),
        "objective": {"metric": job.objective.metric, "direction": job.objective.direction},
        "trials": {"completed": job.completed, "failed": job.failed, "stopped": job.stopped},
        "curve": {
            "trials": list(range(1, len(curve.numbers) + 1)),
            "numbers": curve.numbers,
            "seconds": curve.seconds,
            "best": curve.best,
        },
        "held_out": job.held_out,
    }


def _job_line(job: ComparedJob) -> dict[str, Any]:
    test = job.held_out or HeldOutScore(0, None, None, {}, {})
    return {
        **{name: getattr(job, name) for name in _PLAIN},
        "state": str(job.state),
        "metric": job.objective.metric,
        "direction": job.objective.direction,
        "completed": job.completed,
        "failed": job.failed,
        "stopped": job.stopped,
        "held_out_rows": test.rows,
        "held_out_score": test.score,
        "held_out_baseline": test.baseline,
    }


_PLAIN = (
    "id",
    "model",
    "strategy",
    "best_trial",
    "best_score",
    "spread",
    "seconds",
    "seconds_to_best",
    "trials_to_best",
    "area_over_trials",
    "area_over_seconds",
    "version",
)
