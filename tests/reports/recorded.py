"""Jobs and versions as a search would have left them, with known scores and times."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import insert

from models.data.preparation.splitting import Evaluation
from models.data.preparation.tasks import Task
from models.jobs.schema.spec import dump_spec
from models.jobs.spec import Budget, JobSpec
from models.oracles.strategy import Random
from models.space.schema import load_space
from models.store.artifacts import Artifacts
from models.store.engine import Database
from models.store.tables import jobs, trials, versions
from models.trials.spec import Objective

STARTED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def job_spec(**changes: Any) -> JobSpec:
    """A random search on diabetes; what is given by name replaces a part."""
    parts: dict[str, Any] = {
        "model": "sugar",
        "dataset": "builtin:diabetes",
        "target": "target",
        "features": None,
        "task": Task.REGRESSION,
        "network": "mlp",
        "space": load_space({"units": {"type": "int", "min": 8, "max": 64}}, "mlp"),
        "strategy": Random(),
        "objective": Objective("loss", "min"),
        "budget": Budget(epochs=5, max_trials=4),
        "evaluation": Evaluation(),
        "executions": 1,
        "early_stopping": None,
        "parallelism": None,
        "seed": 3,
        "refit": False,
    }
    return JobSpec(**(parts | changes))


def trial_row(
    number: int,
    score: float | None,
    values: Mapping[str, Any] | None = None,
    ended: float | None = None,
    **changes: Any,
) -> dict[str, Any]:
    """A trial that ended `ended` seconds after its job started; without a score it failed."""
    history = changes.pop("history", None)
    result = {
        "spread": 0.0,
        "history": history or {"loss": [4.0, 2.0, 1.0], "val_loss": [4.0, 3.0, 3.5]},
        "best_epoch": 2,
        "epochs": 3,
        "parameters": 120,
        "overfit": False,
    }
    moment = STARTED + timedelta(seconds=number if ended is None else ended)
    return {
        "number": number,
        "key": f"k{number}",
        "state": "failed" if score is None else "completed",
        "values": {"units": 8 * number} if values is None else dict(values),
        "epochs": 3,
        "initial_epoch": 0,
        "parent": None,
        "score": score,
        "result": result if score is not None else None,
        "failure_kind": "diverged" if score is None else None,
        "failure_message": "The loss stopped being finite." if score is None else None,
        "retries": 0,
        "reused_job": None,
        "reused_trial": None,
        "seconds": 1.0,
        "created": STARTED,
        "started": STARTED,
        "finished": moment,
    } | changes


def record_job(
    database: Database,
    job: str,
    rows: Sequence[Mapping[str, Any]],
    spec: JobSpec | None = None,
    **changes: Any,
) -> str:
    """Write a succeeded job with these trials; answer its id."""
    spec = spec or job_spec()
    with database.write() as connection:
        connection.execute(
            insert(jobs).values(
                {
                    "id": job,
                    "model": spec.model,
                    "state": "succeeded",
                    "spec": dump_spec(spec),
                    "dataset": "ds_1",
                    "planned_trials": max(4, len(rows)),
                    "created": STARTED,
                    "started": STARTED,
                    "finished": STARTED + timedelta(seconds=100),
                    "seconds": 90.0,
                    "stop_reason": "max_trials",
                }
                | changes
            )
        )
        if rows:
            connection.execute(insert(trials), [dict(row) | {"job": job} for row in rows])
    return job


def record_version(
    database: Database,
    artifacts: Artifacts,
    spec: JobSpec,
    answers: Mapping[str, Any] | None,
    metrics: Mapping[str, float | None] | None = None,
    baseline: Mapping[str, float | None] | None = None,
    evidence: Mapping[str, Any] | None = None,
) -> int:
    """Write version 1 of the job's model; `answers` is its held_out.json, if it has one.

    Its evidence is that of an old version, apart from the parts that are given.
    """
    files = {}
    if answers is not None:
        content = json.dumps(answers).encode()
        digest = artifacts.write(f"models/{spec.model}/1/held_out.json", content)
        files["held_out.json"] = {"sha256": digest, "bytes": len(content)}
    rows = 0 if answers is None else answers["rows"]
    details = {
        "metrics": metrics,
        "baseline": baseline,
        "layers": [
            {"name": "dense", "type": "Dense", "output_shape": [None, 8], "parameters": 88},
            {"name": "output", "type": "Dense", "output_shape": [None, 1], "parameters": 9},
        ],
        "parameters": 97,
        "evidence": {
            "validation": {"metrics": metrics},
            "test": {"rows": rows},
            "baseline": {"predicts": "mean"},
            **(evidence or {}),
        },
    }
    with database.write() as connection:
        connection.execute(
            insert(versions).values(
                model=spec.model,
                version=1,
                task=str(spec.task),
                job=None,
                trial=1,
                created=STARTED,
                files=files,
                details=details,
                ready=True,
            )
        )
    return 1
