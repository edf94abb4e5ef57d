"""Comparison of jobs."""

import csv
import io
from collections.abc import Mapping
from typing import Any

import marshmallow as ma
from marshmallow.validate import Length, OneOf
from webargs.fields import DelimitedList

from api.schemas.fields import Group, interval_field
from models.fields import described
from models.reports.comparison import MAX_JOBS


class CompareQuery(ma.Schema):
    """The jobs to compare, and the form of the comparison."""

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


class ComparedObjectiveSchema(ma.Schema):
    """A metric on the validation rows, and whether `min` or `max` of it is better."""

    metric = ma.fields.String()
    direction = ma.fields.String()


class TrialCountsSchema(ma.Schema):
    """Trials by how they ended."""

    completed = ma.fields.Integer()
    failed = ma.fields.Integer()
    stopped = ma.fields.Integer()


class HeldOutScoreSchema(ma.Schema):
    """The scores of the registered version on rows that the search never saw."""

    rows = ma.fields.Integer()
    score = ma.fields.Float(allow_none=True, metadata=described("The job's objective on them."))
    baseline = ma.fields.Float(
        allow_none=True, metadata=described("The same of always answering mean or majority.")
    )
    interval = interval_field("95 %, of `score`; null in versions before 0.3.")
    baseline_interval = interval_field("The same of `baseline`.")
    metrics = ma.fields.Dict()
    baseline_metrics = ma.fields.Dict()


class ComparedJobSchema(ma.Schema):
    """The results of one job."""

    id = ma.fields.String()
    model = ma.fields.String()
    strategy = ma.fields.String()
    state = ma.fields.String()
    objective = ma.fields.Nested(ComparedObjectiveSchema)
    best_trial = ma.fields.Integer(allow_none=True)
    best_score = ma.fields.Float(allow_none=True)
    spread = ma.fields.Float(
        allow_none=True,
        metadata=described("Of the best trial's score over its folds and executions."),
    )
    trials = Group(TrialCountsSchema)
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
    """Jobs side by side, in the requested order."""

    items = ma.fields.List(ma.fields.Nested(ComparedJobSchema), attribute="jobs")
    differences = ma.fields.List(
        ma.fields.String(),
        metadata=described("Why their scores do not mean the same; empty unless forced."),
    )
    area_trials = ma.fields.Integer(
        attribute="trials", metadata=described("Most trials that have ended in any of the jobs.")
    )
    area_seconds = ma.fields.Float(
        attribute="seconds", metadata=described("End of the longest of the curves.")
    )


_COLUMNS = (
    *("id", "model", "strategy", "best_trial", "best_score", "spread", "seconds"),
    *("seconds_to_best", "trials_to_best", "area_over_trials", "area_over_seconds", "version"),
    *("state", "metric", "direction", "completed", "failed", "stopped"),
    *("held_out_rows", "held_out_score", "held_out_low", "held_out_high", "held_out_baseline"),
)


def comparison_csv(dumped: Mapping[str, Any]) -> str:
    """Return a dumped comparison as a table, one line a job, without the curves.

    Nulls are empty cells.
    """
    file = io.StringIO()
    writer = csv.DictWriter(file, _COLUMNS, extrasaction="ignore")
    writer.writeheader()
    for job in dumped["items"]:
        held_out = job["held_out"] or {"rows": 0}
        ends = dict(zip(("low", "high"), held_out.get("interval") or (), strict=False))
        test = {f"held_out_{name}": cell for name, cell in (held_out | ends).items()}
        writer.writerow(job | job["objective"] | job["trials"] | test)
    return file.getvalue()
