"""A report on one job, as a page that needs no other host, file or script, or as one picture."""

import base64
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from matplotlib.figure import Figure

from models.data.preparation.tasks import Task
from models.jobs.model import Trial, TrialState
from models.jobs.spec import JobSpec
from models.oracles.strategy import strategy_to_json
from models.registry.catalog.records import VersionRecord
from models.reports.cache import ResultCache, digest_of_report
from models.reports.figures.columns import COLUMN_IMPORTANCE, DEPENDENCE
from models.reports.figures.drawing import INK, FigureKind, explain, printable, render
from models.reports.figures.front import FRONT
from models.reports.figures.held_out import CONFUSION, PREDICTED, RELIABILITY, ROC
from models.reports.figures.labels import (
    better_is,
    duration,
    metric_label,
    moment,
    number,
    score_label,
    shortened,
)
from models.reports.figures.search import (
    BEST_SO_FAR,
    IMPORTANCE,
    LEARNING,
    PARALLEL_COORDINATES,
)
from models.reports.job_report import JobReport, Missing, present, reason_of

_WIDTH = 15.0  # inches, of the picture
_OTHERS = {"linear": "Linear", "trees": "Trees"}  # models beside the version
_NOTE_HEIGHT = 1.1  # inches, of a row in which no figure can be drawn


def write_page(report: JobReport, cache: ResultCache) -> str:
    """Return the report as HTML, with its figures inside, which are drawn if the cache has none."""
    content = digest_of_report(report)
    job, task = report.job, report.job.spec.task
    has_version = not isinstance(report.version, Missing)
    kinds = [kind for row in _rows(job.spec) for kind in row]
    return _template().render(
        job=job,
        facts=_facts(report),
        failures=_failures(report),
        winner=report.winner,
        task="regression" if task is Task.REGRESSION else f"{task} classification",
        score_label=score_label(job),
        better_is=better_is(job),
        version=report.version if has_version else None,
        no_version=reason_of(report.version),
        test_note=reason_of(report.answers),
        metrics=_metrics(report, present(report.version)) if has_version else [],
        others=_OTHERS,
        optimism=_optimism(report, present(report.version)) if has_version else None,
        confidence_note=_confidence_note(present(report.version)) if has_version else None,
        leaders=[_leader(trial, report) for trial in report.leaders],
        scored=len(report.scored),
        figures=[(kind, *_figure(kind, report, content, cache)) for kind in kinds],
    )


def _figure(
    kind: FigureKind, report: JobReport, content: str, cache: ResultCache
) -> tuple[str | None, bytes]:
    """Return why a figure is missing, or the figure as PNG."""
    missing = cache.get((content, kind.name, "missing"), lambda: kind.missing(report))
    if missing is not None:
        return missing, b""
    return None, cache.get((content, kind.name), lambda: _draw_alone(kind, report))


def draw_picture(report: JobReport, cache: ResultCache) -> bytes:
    """Return every figure of the report in one PNG, which is drawn if the cache has none."""
    job = report.job
    key = digest_of_report(report), job.model, job.id, job.state
    return cache.get(key, lambda: _draw_together(report))


def _draw_together(report: JobReport) -> bytes:
    rows = _rows(report.job.spec)
    heights = [_height(row, report) for row in rows]

    def draw(figure: Figure) -> None:
        parts = figure.subfigures(len(rows), 1, height_ratios=heights, squeeze=False)[:, 0]
        for part, row in zip(parts, rows, strict=True):
            for axes, kind in zip(part.subplots(1, len(row), squeeze=False)[0], row, strict=True):
                reason = kind.missing(report)
                if reason is None:
                    kind.fill(axes, report)
                else:
                    explain(axes, kind.title, reason)
        figure.suptitle(_heading(report), x=0.01, ha="left", fontsize=14, color=INK)

    return render(draw, _WIDTH, sum(heights) + 0.6)


def _rows(spec: JobSpec) -> list[list[FigureKind]]:
    """The figures of a report, as they stand beside and below each other in the picture."""
    first = [[BEST_SO_FAR, IMPORTANCE], [PARALLEL_COORDINATES]]
    if spec.other_objectives:
        first.insert(0, [FRONT])
    columns = [[COLUMN_IMPORTANCE], [DEPENDENCE]]
    if spec.task is Task.REGRESSION:
        return [*first, [LEARNING, PREDICTED], *columns]
    return [*first, [LEARNING, RELIABILITY], [CONFUSION, ROC], *columns]


def _draw_alone(kind: FigureKind, report: JobReport) -> bytes:
    return render(lambda figure: kind.fill(figure.subplots(), report), kind.width, kind.height)


def _height(row: list[FigureKind], report: JobReport) -> float:
    drawn = [kind.height for kind in row if kind.missing(report) is None]
    return max(drawn, default=_NOTE_HEIGHT)


def _heading(report: JobReport) -> str:
    job = report.job
    text = f"{shortened(job.model, 60)}  ·  {job.spec.strategy.name} search  ·  {job.id}"
    return printable(f"{text}  ·  {job.state}  ·  {moment(report.moment)}")


def _facts(report: JobReport) -> dict[str, str]:
    job, spec = report.job, report.job.spec
    counted = [each for each in report.outcomes if each.state != TrialState.DISCARDED]
    counts = Counter(str(item.state) for item in counted)
    return {
        "Job": job.id,
        "State": str(job.state) + (f" ({job.stop_reason})" if job.stop_reason else ""),
        "Seen at": moment(report.moment),
        "Trials": f"{len(counted)} of {job.planned_trials} planned"
        + "".join(f", {count} {state}" for state, count in sorted(counts.items())),
        "Searching took": duration(job.seconds),
        "Created": moment(job.created),
        "Started": moment(job.started),
        "Finished": moment(job.finished),
        "Dataset": spec.dataset
        + (f" ({job.dataset})" if job.dataset not in (None, spec.dataset) else ""),
        "Target": spec.target,
        "Task": str(spec.task),
        "Network": spec.network,
        "Strategy": _options(strategy_to_json(spec.strategy)),
        "Objective": f"{score_label(job)}, {better_is(job)}",
        **_other_objectives(spec),
        "Evaluation": _options(asdict(spec.evaluation)),
        **_weights(spec),
        "Budget": _options(asdict(spec.budget)),
        "Executions per trial": str(spec.executions),
        "Seed": str(spec.seed),
    }


def _other_objectives(spec: JobSpec) -> dict[str, str]:
    """Name the further objectives and the constraints, if there are any."""
    found = {}
    if spec.other_objectives:
        found["Other objectives"] = ", ".join(
            f"{each.metric} ({each.direction})" for each in spec.other_objectives
        )
    if spec.constraints:
        found["Constraints"] = ", ".join(map(str, spec.constraints))
    if spec.objective.positive_class is not None:
        found["Counted class"] = spec.objective.positive_class
    return found


def _weights(spec: JobSpec) -> dict[str, str]:
    """Say what training rows were weighted by, if they were."""
    found = {}
    if spec.class_weight is not None:
        found["Class weights"] = (
            spec.class_weight
            if isinstance(spec.class_weight, str)
            else ", ".join(f"{label} {number(factor)}" for label, factor in spec.class_weight)
        )
    if spec.sample_weight is not None:
        found["Sample weights"] = spec.sample_weight
    return found


def _options(document: Mapping[str, Any]) -> str:
    """Write options in one line; lists by their length."""
    parts = []
    for name, value in document.items():
        if value is None:
            continue
        text = f"{len(value)} listed" if isinstance(value, list | tuple) else str(value)
        parts.append(text if name in ("name", "method") else f"{name} {text}")
    return ", ".join(parts)


def _failures(report: JobReport) -> list[tuple[str, int]]:
    kinds = Counter(
        item.failure_kind or "error" for item in report.outcomes if item.state == TrialState.FAILED
    )
    return kinds.most_common()


def _metrics(report: JobReport, version: VersionRecord) -> list[dict[str, Any]]:
    """Return a line for each metric: validation, then test and baselines with their intervals."""
    spec, test, baseline = report.job.spec, version.metrics or {}, version.baseline or {}
    validation = version.evidence["validation"]["metrics"] or {}
    beside = [(version.baselines or {}).get(name) or {} for name in _OTHERS]
    columns = [
        (test, version.intervals),
        (baseline, version.baseline_intervals),
        *[(each.get("metrics") or {}, each.get("intervals")) for each in beside],
    ]
    return [
        {
            "name": name,
            "label": metric_label(name, spec.task, spec.target, spec.objective.positive_class),
            "validation": number(validation.get(name)),
            "scored": [
                (number(metrics.get(name)), _bounds((intervals or {}).get(name)))
                for metrics, intervals in columns
            ],
        }
        for name in dict.fromkeys([*validation, *test])
    ]


def _bounds(interval: Sequence[float] | None) -> str:
    return "" if interval is None else f"{number(interval[0])} to {number(interval[1])}"


def _optimism(report: JobReport, version: VersionRecord) -> str | None:
    """Say what the search promised and what the test rows confirm."""
    found = version.optimism
    if found is None:
        return None
    bounds = _bounds(found.get("interval"))
    text = (
        f"Optimism: the winner’s {found['metric']} was {number(found['search'])} in the search and"
        f" is {number(found['test'])} on the test rows"
    )
    text += f" (95 % interval {bounds})" if bounds else ""
    worse = "worse, as is usual for the best of many trials" if found["gap"] > 0 else "no worse"
    return f"{text}: {worse}."


def _confidence_note(version: VersionRecord) -> str | None:
    note = version.evidence["test"].get("note")
    return note if isinstance(note, str) and version.metrics is not None else None


def _leader(trial: Trial, report: JobReport) -> dict[str, Any]:
    result = trial.result or {}
    return {
        "number": trial.number,
        "score": number(trial.score),
        "spread": number(result.get("spread")),
        "best_epoch": result.get("best_epoch"),
        "epochs": result.get("epochs"),
        "parameters": result.get("parameters"),
        "overfit": result.get("overfit"),
        "breaks": ", ".join(result.get("violations") or {}),
        "seconds": duration(trial.seconds),
        "reused_from": _source(trial, report),
        "values": trial.values,
    }


def _source(trial: Trial, report: JobReport) -> str | None:
    source = trial.reused_from
    if source is None:
        return None
    elsewhere = "" if source.job == report.job.id else f" of {source.job}"
    return f"trial {source.trial}{elsewhere}"


def _value(value: object) -> str:
    if isinstance(value, float):
        return number(value)
    return value if isinstance(value, str) else json.dumps(value)


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _shape(shape: Sequence[int | None]) -> str:
    return " × ".join("rows" if size is None else str(size) for size in shape)


@cache
def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(base64=_base64, number=number, value=_value, shape=_shape)
    return environment.get_template("page.html")
