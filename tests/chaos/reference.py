"""The same jobs without faults: what their trials' values and scores have to be."""

import json
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from tests.chaos.calls import Calls, NoAnswer
from tests.chaos.deployment import Deployment
from tests.chaos.plan import ENQUEUED, EPOCHS, RAISABLE, RAISED_BY, STRATEGIES, JobPlan, RoundPlan
from tests.chaos.watch import trials_of

_PATIENCE = 600.0  # seconds
_SCORED = frozenset({"completed", "stopped"})


@dataclass(frozen=True)
class Expected:
    """A job's proposals in order, and the result of each of its trials and the enqueued ones."""

    proposals: tuple[str, ...]
    results: Mapping[str, Any]


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
    wanted = sorted({alone(job) for plan in plans for job in plan.jobs}, key=str)
    with closing(Calls(deployment.urls, _PATIENCE)) as calls:
        return {job: _expected(calls, job) for job in wanted}


def _expected(calls: Calls, job: JobPlan) -> Expected:
    from tests.chaos.rounds import upload

    dataset = upload(calls)
    raised_by = RAISED_BY if job.strategy in RAISABLE else 0
    searched = _trials(calls, job.request(f"reference-{job.strategy}", dataset, raised_by))
    given = JobPlan("manual", 1, job.seed).request("reference-enqueued", dataset)
    epochs = STRATEGIES[job.strategy]["budget"].get("epochs", EPOCHS)
    given["strategy"] = {"name": "manual", "trials": ENQUEUED}
    given["budget"] = {"epochs": epochs}
    enqueued = _trials(calls, given)
    return Expected(
        tuple(map(key_of, searched)),
        {key_of(trial): result_of(trial) for trial in (*searched, *enqueued)},
    )


def _trials(calls: Calls, request: Mapping[str, Any]) -> list[dict[str, Any]]:
    queued = calls.until_answered("POST", "/tune", json=request)
    if not queued.is_success:
        raise NoAnswer(f"The reference was refused: {queued.text}")
    job = queued.json()["id"]
    ended = calls.document(f"/tune/{job}", params={"wait": 60})
    while ended["state"] in ("queued", "running"):
        ended = calls.document(f"/tune/{job}", params={"wait": 60})
    trials = trials_of(calls, job)
    if ended["state"] != "succeeded" or not {trial["state"] for trial in trials} <= _SCORED:
        raise NoAnswer(f"The reference did not succeed: {json.dumps(ended)[:1000]}")
    return trials
