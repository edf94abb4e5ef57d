"""The rules of the settings, the turns of several workers, and the events of ended jobs."""

import threading
from datetime import timedelta

import pytest
from flask.testing import FlaskClient
from sqlalchemy import insert, update

from models.jobs.model import JobState
from models.jobs.store.events import EventFeed, EventKind
from models.jobs.store.held_job import HeldJob
from models.jobs.store.queue import JobQueue
from models.retention.sweep import Sweeper
from models.settings import Settings
from models.store.artifacts import Artifacts
from models.store.engine import Database
from models.store.tables import audit, jobs, now, removals, sweeps, versions
from models.trials.trainers.base import EpochReport
from tests.jobs.steps import propose, scored
from tests.retention.conftest import REQUEST, MakeJob, Publish
from tests.retention.test_removal_of_files import listed, sweep
from tests.waiting import wait_until

pytestmark = pytest.mark.both_databases


def ids(app_client: FlaskClient) -> set[str]:
    return {job["id"] for job in app_client.get("/tune").get_json()["items"]}


def test_by_default_everything_is_kept(
    make_job: MakeJob,
    publish: Publish,
    app_client: FlaskClient,
    database: Database,
    artifacts: Artifacts,
) -> None:
    job = make_job(finished=now() - timedelta(days=4000))
    publish(), publish()
    with database.write() as connection:
        connection.execute(update(versions).values(created=now() - timedelta(days=4000)))
    sweep(database, artifacts)
    assert ids(app_client) == {job}
    assert len(app_client.get("/models/m").get_json()["versions"]) == 2


def test_old_jobs_go(
    make_job: MakeJob, app_client: FlaskClient, database: Database, artifacts: Artifacts
) -> None:
    make_job(finished=now() - timedelta(days=4))
    young = make_job(finished=now() - timedelta(days=2))
    going = make_job(JobState.RUNNING, finished=now() - timedelta(days=9))
    sweep(database, artifacts, keep_jobs_days=3)
    assert ids(app_client) == {young, going}


def test_only_the_newest_jobs_stay(
    make_job: MakeJob, app_client: FlaskClient, database: Database, artifacts: Artifacts
) -> None:
    made = [make_job(finished=now() - timedelta(days=days)) for days in (3, 1, 2)]
    going = make_job(JobState.RUNNING, finished=now() - timedelta(days=9))
    sweep(database, artifacts, keep_jobs=2)
    assert ids(app_client) == {made[1], made[2], going}


@pytest.mark.parametrize(
    ("settings_of_rule", "left"),
    [({"keep_versions": 2}, [6, 5, 4, 1]), ({"keep_versions_days": 3.5}, [6, 5, 4, 3, 1])],
)
def test_versions_without_an_alias_go_by_number_or_age(
    publish: Publish,
    app_client: FlaskClient,
    database: Database,
    artifacts: Artifacts,
    settings_of_rule: dict[str, float],
    left: list[int],
) -> None:
    for number in range(1, 7):
        publish()
        aged = update(versions).where(versions.c.version == number)
        with database.write() as connection:
            connection.execute(aged.values(created=now() - timedelta(days=6 - number)))
    app_client.put("/models/m/aliases/kept", json={"version": 1})
    publish("other")
    sweep(database, artifacts, **settings_of_rule)
    assert [v["version"] for v in app_client.get("/models/m").get_json()["versions"]] == left
    assert app_client.get("/models/other").status_code == 200
    assert not any("models/m/2/" in name for name in artifacts.names())


def finished_job(
    app_client: FlaskClient, database: Database, dataset: str, **request: object
) -> str:
    """Run a job of one trial, which reports its epochs in three events, to its end."""
    app_client.post("/tune", json=REQUEST | {"dataset": dataset} | request)
    job = JobQueue(database, "worker-1", 60).claim()
    assert job is not None
    held = HeldJob(database, job.id, "worker-1")
    propose(held, 1)
    held.start(1)
    for epoch in (1, 2, 3):
        held.report({1: [EpochReport(0, 0, epoch, {"loss": 1 / epoch})]})
    held.complete(1, scored(0.5), {}, 1.0)
    held.finish(JobState.SUCCEEDED)
    return job.id


def test_events_of_an_ended_job_lose_the_curves_and_keep_their_ids(
    app_client: FlaskClient, database: Database, artifacts: Artifacts, dataset: str
) -> None:
    job, feed = finished_job(app_client, database, dataset), EventFeed(database)
    before = feed.after(job, 0).events
    sweep(database, artifacts)
    news = feed.after(job, 0)
    assert news.events == [event for event in before if event.kind != EventKind.EPOCH]
    assert len(news.events) == len(before) - 3
    assert news.is_all
    # A client that had seen an event that is gone goes on after it.
    epoch = next(event.id for event in before if event.kind == EventKind.EPOCH)
    assert [event.id for event in feed.after(job, epoch).events] == [
        event.id for event in news.events if event.id > epoch
    ]
    text = app_client.get(f"/tune/{job}/events").text
    assert text.count("event: ") == len(news.events)
    assert text.rstrip().endswith('"error": null}')
    last = {"Last-Event-ID": str(before[-1].id)}
    assert app_client.get(f"/tune/{job}/events", headers=last).status_code == 204
    # With a larger budget the job goes on, and so do the ids.
    with database.write() as connection:
        connection.execute(update(jobs).values(stop_reason="max_trials"))
    app_client.patch(f"/tune/{job}", json={"budget": {"max_trials": 5}})
    assert [event.id for event in feed.after(job, before[-1].id).events] == [before[-1].id + 1]


@pytest.mark.parametrize("job_has", ["no rule", "a rule"])
def test_old_events_go_but_the_changes_of_state_stay(
    app_client: FlaskClient, database: Database, artifacts: Artifacts, dataset: str, job_has: str
) -> None:
    rule = {"pruning": {"rule": "median"}, "executions_per_trial": 2, "budget": {"epochs": 20}}
    request = rule | {"strategy": "grid"} if job_has == "a rule" else {}
    job = finished_job(app_client, database, dataset, **request)
    with database.write() as connection:
        connection.execute(update(jobs).values(finished=now() - timedelta(days=9)))
    sweep(database, artifacts, keep_events_days=8)
    found = EventFeed(database).after(job, 0)
    kinds = {event.kind for event in found.events}
    assert kinds == ({"state"} if job_has == "no rule" else {"state", "epoch"})
    assert found.is_all


def test_old_entries_of_the_audit_log_go(
    app_client: FlaskClient, database: Database, artifacts: Artifacts
) -> None:
    old, young = (
        app_client.post("/datasets", json={"records": [{"a": n}, {"a": n + 1}]}).get_json()["id"]
        for n in (1, 2)
    )
    with database.write() as connection:
        ago = now() - timedelta(days=4)
        connection.execute(update(audit).where(audit.c.id == old).values(time=ago))
    sweep(database, artifacts)
    assert len(app_client.get("/audit").get_json()["items"]) == 2
    sweep(database, artifacts, keep_audit_days=3)
    assert [entry["id"] for entry in app_client.get("/audit").get_json()["items"]] == [young]


def test_a_sweep_leaves_to_others_what_was_just_listed(
    make_job: MakeJob, database: Database, artifacts: Artifacts
) -> None:
    job = make_job()
    Sweeper(database, artifacts, Settings()).sweep(threading.Event())
    assert listed(database) == [f"jobs/{job}"]


def test_a_clock_that_is_set_back_delays_no_sweep(
    make_job: MakeJob, database: Database, artifacts: Artifacts
) -> None:
    """An hour ahead, it planned the next sweep and listed a folder."""
    settings = Settings(lease_seconds=1, sweep_seconds=0.05)
    sweeper = Sweeper(database, artifacts, settings)
    make_job()
    ahead = now() + timedelta(hours=1)
    with database.write() as connection:
        connection.execute(update(removals).values(created=ahead))
        connection.execute(insert(sweeps).values(name="retention", due=ahead))
    stop = threading.Event()
    thread = threading.Thread(target=sweeper.run, args=(stop,))
    thread.start()
    try:
        wait_until(lambda: not listed(database))
    finally:
        stop.set()
        thread.join()
