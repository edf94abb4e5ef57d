"""The same jobs without faults: what their trials' values and scores have to be."""

import json
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from tests.chaos.calls import Calls, NoAnswer
from tests.chaos.plan import ENQUEUED, RAISABLE, RAISED_BY, ROWS, STRATEGIES, JobPlan, RoundPlan
from tests.chaos.service.deployment import Deployment
from tests.chaos.watch import trials_of

_PATIENCE = 600.0  # seconds
_SCORED = frozenset({"completed", "stopped"})


@dataclass(frozen=True)
class Expected:
    """A job's proposals in order, the results of its trials, and what its winner predicts."""

    proposals: tuple[str, ...]
    results: Mapping[str, Any]  # also those of the trials that users enqueue
    winner: str
    predictions: tuple[float, ...]  # of the rows `ROWS`


Reference = Mapping[JobPlan, Expected]


def key_of(trial: Mapping[str, Any]) -> str:
    """Return what a trial's result follows from, beside its job's seed."""
    return json.dumps([trial["values"], trial["initial_epoch"], trial["epochs"]], sort_keys=True)


def result_of(trial: Mapping[str, Any]) -> Any:
    """Return what must be equal in every run of a trial."""
    return {"score": trial["score"], "metrics": trial["metrics"]}


def alone(job: JobPlan) -> JobPlan:
    """Return the same job with one trial at a time."""
    return JobPlan(job.strategy, 1, job.seed)


def run_references(plans: Iterable[RoundPlan], deployment: Deployment) -> dict[JobPlan, Expected]:
    """Run each distinct job of these rounds once, under a service that nothing happens to."""
    wanted: dict[JobPlan, bool] = {}  # whether trials are enqueued to it
    for plan in plans:
        for index, job in enumerate(map(alone, plan.jobs)):
            wanted[job] = wanted.get(job, False) or plan.enqueues(index)
    with closing(Calls(deployment.urls, _PATIENCE)) as calls:
        return {job: _expected(calls, job, enqueues) for job, enqueues in wanted.items()}


def _expected(calls: Calls, plan: JobPlan, enqueues: bool) -> Expected:
    from tests.chaos.rounds import upload

    dataset = upload(calls)
    raised_by = RAISED_BY if plan.strategy in RAISABLE else 0
    job, searched = _run(calls, plan.request(f"reference-{plan.strategy}", dataset, raised_by))
    enqueued: list[dict[str, Any]] = []
    if enqueues:
        given = JobPlan("manual", 1, plan.seed).request("reference-enqueued", dataset)
        given["strategy"] = {"name": "manual", "trials": ENQUEUED}
        given["budget"] = {"epochs": STRATEGIES[plan.strategy]["budget"]["epochs"]}
        _, enqueued = _run(calls, given)
    body = {"model": job["model"], "version": job["version"], "instances": ROWS}
    answer = calls.until_answered("POST", "/predict", json=body)
    return Expected(
        proposals=tuple(map(key_of, searched)),
        results={key_of(trial): result_of(trial) for trial in (*searched, *enqueued)},
        winner=key_of(job["best_trial"]),
        predictions=tuple(answer.json()["predictions"]),
    )


def _run(calls: Calls, request: Mapping[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Run a job to its end; return it and its trials; raises NoAnswer unless all succeed."""
    queued = calls.until_answered("POST", "/tune", json=request)
    if not queued.is_success:
        raise NoAnswer(f"The reference was refused: {queued.text}")
    path = f"/tune/{queued.json()['id']}"
    while (job := calls.document(path, params={"wait": 60}))["state"] in ("queued", "running"):
        continue
    trials = trials_of(calls, job["id"])
    if job["state"] != "succeeded" or not {trial["state"] for trial in trials} <= _SCORED:
        raise NoAnswer(f"The reference did not succeed: {json.dumps(job)[:1000]}")
    return job, trials
