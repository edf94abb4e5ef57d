"""A report on one job as a page that needs nothing else: no other host, file or script."""

import base64
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from models.data.preparation.tasks import Task
from models.jobs.model import Trial, TrialState
from models.jobs.spec import JobSpec
from models.oracles.strategy import strategy_to_json
from models.registry.catalog import VersionRecord
from models.reports.labels import better_is, duration, metric_label, moment, number, score_label
from models.reports.report import DrawnFigure, JobReport, Missing


def write_page(report: JobReport, figures: Sequence[DrawnFigure]) -> str:
    """The report as HTML, the figures inside as data."""
    job, version = report.job, report.version
    return _template().render(
        job=job,
        facts=_facts(report),
        failures=_failures(report),
        winner=report.leaders[0] if report.leaders else None,
        task="regression"
        if job.spec.task is Task.REGRESSION
        else f"{job.spec.task} classification",
        score_label=score_label(job),
        better_is=better_is(job),
        version=None if isinstance(version, Missing) else version,
        no_version=version.reason if isinstance(version, Missing) else None,
        test_note=report.answers.reason if isinstance(report.answers, Missing) else None,
        metrics=[] if isinstance(version, Missing) else _metrics(report, version),
        leaders=[_leader(trial, report) for trial in report.leaders],
        scored=len(report.scored),
        figures=figures,
    )


def _facts(report: JobReport) -> dict[str, str]:
    job, spec = report.job, report.job.spec
    counts = Counter(str(item.state) for item in report.outcomes)
    return {
        "Job": job.id,
        "State": str(job.state) + (f" ({job.stop_reason})" if job.stop_reason else ""),
        "Seen at": moment(report.moment),
        "Trials": f"{len(report.outcomes)} of {job.planned_trials} planned"
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
        "Evaluation": _options(asdict(spec.evaluation)),
        **_weights(spec),
        "Budget": _options(asdict(spec.budget)),
        "Executions per trial": str(spec.executions),
        "Seed": str(spec.seed),
    }


def _weights(spec: JobSpec) -> dict[str, str]:
    """What training rows were weighted by; nothing where they were not."""
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
    """Options in one line; long lists by their length."""
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


def _metrics(report: JobReport, version: VersionRecord) -> list[dict[str, str]]:
    """One line for each metric: validation, test and baseline."""
    details, spec = version.details, report.job.spec
    validation = details["evidence"]["validation"]["metrics"] or {}
    test, baseline = details["metrics"] or {}, details["baseline"] or {}
    return [
        {
            "name": name,
            "label": metric_label(name, spec.task, spec.target),
            "validation": number(validation.get(name)),
            "test": number(test.get(name)),
            "baseline": number(baseline.get(name)),
        }
        for name in dict.fromkeys([*validation, *test])
    ]


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
