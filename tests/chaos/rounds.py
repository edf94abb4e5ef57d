"""One round: jobs, faults and two clients at once, then every invariant."""

import json
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

from luthier.client import FINAL_STATES
from tests.chaos import invariants
from tests.chaos.calls import Calls, NoAnswer
from tests.chaos.plan import CSV, Fault, RoundPlan
from tests.chaos.reference import Reference
from tests.chaos.service.deployment import Deployment
from tests.chaos.service.faults import Faults
from tests.chaos.users import Asked, User
from tests.chaos.watch import Watch, WatchedJob

PATIENCE = 240.0  # seconds until a round that does not end is a breach
_EVERY = 0.05  # seconds
_JOIN_WITHIN = 120.0  # seconds


@dataclass
class Outcome:
    """What came of a round."""

    plan: RoundPlan
    seconds: float
    done: list[str]  # faults by kind
    skipped: list[str]  # faults that could not be done, with reasons
    deaths: int  # of workers and trial processes
    jobs: dict[str, str]  # their last states
    statuses: dict[int, int]  # answers
    breaches: dict[str, list[str]] = field(default_factory=dict)  # by column
    folder: str = ""  # where logs are kept, if there was a breach

    def document(self) -> dict[str, Any]:
        """Return it as JSON."""
        of_plan = {"seed": self.plan.seed, "executor": self.plan.executor}
        return {**asdict(self), "plan": str(self.plan), **of_plan}


class Known:
    """What earlier rounds left in a deployment: each is reported once."""

    def __init__(self) -> None:
        self._seen: dict[str, set[str]] = {}

    def new(self, column: str, found: list[str]) -> list[str]:
        """Return what was not there before, and remember it."""
        seen = self._seen.setdefault(column, set())
        fresh = [text for text in found if text not in seen]
        seen.update(fresh)
        return fresh


def run_round(
    plan: RoundPlan, deployment: Deployment, reference: Reference, known: Known
) -> Outcome:
    """Run a round against a deployment that is ready, and leave it ready."""
    began = time.monotonic()
    calls = Calls(deployment.urls, PATIENCE)
    faults = Faults(deployment, plan.seed)
    asked = [Asked() for _ in plan.jobs]
    try:
        jobs = _start_jobs(plan, calls)
        watch = Watch(calls, [job for job, _ in jobs])
        try:
            errors = _let_happen(plan, calls, faults, watch, asked, jobs[0][1])
        finally:
            watch.close()
        deployment.wait_until_ready()
        found = invariants.Found(plan, deployment, calls, faults, watch.jobs, asked, reference)
        breaches = found.check(errors)
    except NoAnswer as error:
        watch, breaches = None, {"final": [str(error)]}
    finally:
        faults.repair()
        calls.close()
    breaches = {column: known.new(column, texts) for column, texts in breaches.items()}
    return Outcome(
        plan=plan,
        seconds=time.monotonic() - began,
        done=faults.done,
        skipped=faults.skipped,
        deaths=faults.deaths,
        jobs={} if watch is None else {job.id: job.last_state for job in watch.jobs},
        statuses=calls.statuses,
        breaches={column: texts for column, texts in breaches.items() if texts},
    )


def upload(calls: Calls) -> str:
    """Store the table of every round; return its id."""
    files = {"file": ("lines.csv", CSV.encode())}
    answer = calls.until_answered("POST", "/datasets", files=files)
    if not answer.is_success:
        raise NoAnswer(f"POST /datasets: {answer.status_code} {answer.text[:300]}")
    return str(answer.json()["id"])


def start_job(calls: Calls, body: Mapping[str, Any], key: str) -> str:
    """Queue a job once, however often it has to be sent; return its id."""
    headers = {"Idempotency-Key": key}
    answer = calls.until_answered("POST", "/tune", json=body, headers=headers)
    if not answer.is_success:
        raise NoAnswer(f"POST /tune: {answer.status_code} {answer.text[:300]} {json.dumps(body)}")
    return str(answer.json()["id"])


def model_of(plan: RoundPlan, index: int) -> str:
    """Return the name of the model that a round's job makes."""
    return f"round-{plan.seed}-{index}"


def _start_jobs(plan: RoundPlan, calls: Calls) -> list[tuple[str, str]]:
    dataset = upload(calls)
    found = []
    for index, job in enumerate(plan.jobs):
        model = model_of(plan, index)
        found.append((start_job(calls, job.request(model, dataset), model), dataset))
    return found


def _let_happen(
    plan: RoundPlan,
    calls: Calls,
    faults: Faults,
    watch: Watch,
    asked: list[Asked],
    dataset: str,
) -> list[str]:
    """Let faults and clients happen and wait until every job is over; return what went wrong."""
    until = time.monotonic() + PATIENCE
    calls.may_be_damaged = plan.corrupts
    users = [User(calls, watch, plan.jobs, asked, dataset) for _ in plan.actions]
    watch.start()
    errors: list[str] = []
    threads = [
        threading.Thread(target=partial(user.act, actions, until), daemon=True)
        for user, actions in zip(users, plan.actions, strict=True)
    ]
    models = [model_of(plan, index) for index in range(len(plan.jobs))]
    for fault in plan.faults:
        act = partial(_do, fault, faults, watch, until, models, errors)
        threads.append(threading.Thread(target=act, daemon=True))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()) + _JOIN_WITHIN)
    for job in watch.jobs:
        _resume(calls, watch, job)
    while not watch.are_over() and watch.error is None and time.monotonic() < until:
        time.sleep(_EVERY)
    errors += [str(user.error) for user in users if user.error is not None]
    if watch.error is not None:
        errors.append(str(watch.error))
    return errors


def _do(
    fault: Fault,
    faults: Faults,
    watch: Watch,
    until: float,
    models: list[str],
    errors: list[str],
) -> None:
    """Do a fault at its moment. One that comes too late is left out."""
    if not watch.wait_for(fault.when, until):
        faults.skipped.append(f"{fault.kind}: its moment did not come")
        return
    try:
        faults.do(fault, [job.id for job in watch.jobs], models)
    except Exception as error:
        errors.append(f"the harness could not do {fault}: {type(error).__name__}: {error}")


def _resume(calls: Calls, watch: Watch, job: WatchedJob) -> None:
    """Resume a job that one client paused after the other had resumed it."""
    watch.look(job)
    if not job.is_deleted and job.state not in FINAL_STATES:
        calls.until_answered("POST", f"/tune/{job.id}/resume")
