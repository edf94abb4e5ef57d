"""The events of a job, in the order in which they happened."""

import threading
from contextlib import suppress
from typing import Any

import pytest
from sqlalchemy import Connection, func, select

from models.errors import LeaseLost
from models.jobs.commands import JobCommands
from models.jobs.model import JobState, TrialRef
from models.jobs.store.events import EventFeed
from models.oracles.strategy import Random
from models.store.engine import Database
from models.store.tables import events
from models.trials.spec import Failure, FailureKind
from models.trials.trainers.base import EpochReport
from tests.jobs.steps import propose, scored

pytestmark = pytest.mark.both_databases

SPACE = {"num_layers": 0, "learning_rate": {"type": "float", "min": 1e-4, "max": 1e-1}}


@pytest.fixture
def feed(database: Database) -> EventFeed:
    return EventFeed(database)


def reported(feed: EventFeed, job: str, after: int = 0) -> list[tuple[str, dict[str, Any]]]:
    return [(str(event.kind), event.data) for event in feed.after(job, after).events]


def epochs(*numbers: int, execution: int = 0) -> list[EpochReport]:
    return [EpochReport(0, execution, n, {"loss": n / 2, "val_loss": float(n)}) for n in numbers]


def test_the_life_of_a_job(queued, claim, feed: EventFeed) -> None:
    queued()
    job, held = claim()
    propose(held, 2)
    values = [trial.values for trial in held.trials()]
    held.start(1)
    held.report({1: epochs(1, 2)})
    held.complete(1, scored(0.5), {}, 1.0)
    held.start(2)
    held.fail(2, Failure(FailureKind.DIVERGED, "too fast"), None, {}, 1.0)
    held.finish(JobState.SUCCEEDED, version=7)
    history = {"loss": [0.5, 1.0], "val_loss": [1.0, 2.0]}
    place = {"trial": 1, "fold": 0, "execution": 0, "first_epoch": 1, "epoch": 2}
    failure = {"kind": "diverged", "message": "too fast"}
    assert reported(feed, job.id) == [
        ("state", {"state": "queued"}),
        ("state", {"state": "running"}),
        ("trial", {"trial": 1, "state": "waiting", "values": values[0]}),
        ("trial", {"trial": 2, "state": "waiting", "values": values[1]}),
        ("trial", {"trial": 1, "state": "running"}),
        ("epoch", {**place, "history": history}),
        ("trial", {"trial": 1, "state": "completed", "score": 0.5, "seconds": 2.0}),
        ("trial", {"trial": 2, "state": "running"}),
        ("trial", {"trial": 2, "state": "failed", "seconds": None, "failure": failure}),
        ("state", {"state": "succeeded", "version": 7, "error": None}),
    ]


def test_events_have_numbers_without_gaps_and_are_read_from_anywhere(
    queued, claim, feed: EventFeed
) -> None:
    queued()
    job, held = claim()
    propose(held, 3)
    whole = feed.after(job.id, 0).events
    assert [event.id for event in whole] == [1, 2, 3, 4, 5]
    for seen in range(6):
        assert feed.after(job.id, seen).events == whole[seen:]
    assert feed.after(job.id, 1, limit=2).events == whole[1:3]


def test_nothing_more_is_to_come_once_the_final_state_was_read(
    queued, claim, feed: EventFeed
) -> None:
    queued()
    job, held = claim()
    assert not feed.after(job.id, 2).is_all
    held.finish(JobState.FAILED, error="no trial has a score")
    assert not feed.after(job.id, 0, limit=2).is_all
    last = feed.after(job.id, 2)
    assert last.events[-1].data["error"] == "no trial has a score"
    assert last.is_all
    assert feed.after(job.id, 3).is_all


def test_users_wishes_are_events(queued, claim, commands: JobCommands, feed: EventFeed) -> None:
    queued()
    job, held = claim()
    propose(held, 2)
    held.start(2)
    for ask in (commands.pause, commands.pause, commands.resume, commands.cancel):
        ask(job.id)
    held.finish(JobState.CANCELLED)
    assert reported(feed, job.id, after=5) == [
        ("state", {"state": "paused"}),
        ("state", {"state": "queued"}),
        ("state", {"state": "cancelling"}),
        ("trial", {"trial": 1, "state": "cancelled"}),
        ("trial", {"trial": 2, "state": "cancelled"}),
        ("state", {"state": "cancelled", "version": None, "error": None}),
    ]


def test_a_job_cancelled_before_its_turn_ends_with_that(
    queued, commands: JobCommands, feed: EventFeed
) -> None:
    job = queued()
    commands.cancel(job.id)
    news = feed.after(job.id, 1)
    assert [event.data for event in news.events] == [{"state": "cancelled"}]
    assert news.is_all


def test_a_job_that_goes_on_reports_it_after_its_end(
    queued, claim, commands: JobCommands, feed: EventFeed
) -> None:
    queued(2, strategy=Random(), space=SPACE, budget={"max_trials": 2})
    job, held = claim()
    propose(held, 2)
    held.start(1)
    held.complete(1, scored(0.5), {}, 1.0)
    held.end_search("max_trials", 1.0, job.changes)
    held.finish(JobState.SUCCEEDED, version=1)
    before = feed.after(job.id, 0)
    assert before.is_all
    commands.change(job.id, {"max_trials": 5})
    assert reported(feed, job.id, after=before.events[-1].id) == [
        ("trial", {"trial": 2, "state": "waiting"}),
        ("state", {"state": "queued"}),
    ]
    assert not feed.after(job.id, 0).is_all


def test_enqueued_trials_are_reported(queued, commands: JobCommands, feed: EventFeed) -> None:
    job = queued()
    (enqueued,) = commands.enqueue(job.id, {"learning_rate": 0.5})
    assert reported(feed, job.id, after=1) == [
        ("trial", {"trial": 1, "state": "waiting", "values": enqueued.values})
    ]


def test_a_trial_that_reuses_the_result_of_an_equal_one_names_it(
    queued, claim, feed: EventFeed
) -> None:
    queued()
    job, held = claim()
    propose(held, 1)
    held.complete(1, scored(0.5), {}, 1.0, "digest", TrialRef("job_1", 7))
    (*_, last) = reported(feed, job.id)
    assert last[1]["reused_from"] == {"job": "job_1", "trial": 7}


def test_each_run_has_epochs_of_its_own(queued, claim, feed: EventFeed) -> None:
    queued()
    job, held = claim()
    propose(held, 1)
    held.start(1)
    held.report({1: [*epochs(1, 2, 3), *epochs(1, 2, execution=1)]})
    data = [data for kind, data in reported(feed, job.id) if kind == "epoch"]
    assert [(each["execution"], each["first_epoch"], each["epoch"]) for each in data] == [
        (0, 1, 3),
        (1, 1, 2),
    ]


def test_what_is_not_written_is_not_reported(queued, claim, feed: EventFeed) -> None:
    queued()
    job, held = claim()
    before = feed.after(job.id, 0)
    with pytest.raises(LeaseLost, match="cannot become"):
        held.start(1)

    def fail(connection: Connection) -> None:
        raise RuntimeError

    with suppress(RuntimeError):
        held.finish(JobState.SUCCEEDED, publish=fail)
    assert feed.after(job.id, 0) == before


def test_writers_at_the_same_time_leave_no_gap_and_take_no_number_twice(
    queued, claim, commands: JobCommands, feed: EventFeed
) -> None:
    queued()
    job, held = claim()
    propose(held, 1)
    held.start(1)
    together = threading.Barrier(3)

    def report() -> None:
        together.wait()
        for number in range(1, 21):
            held.report({1: epochs(number)})

    def ask() -> None:
        together.wait()
        for _ in range(10):
            commands.pause(job.id)
            commands.resume(job.id)

    threads = [threading.Thread(target=each) for each in (report, report, ask)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = feed.after(job.id, 0).events
    assert [event.id for event in found] == list(range(1, len(found) + 1))
    assert sum(event.kind == "epoch" for event in found) == 40
    assert sum(event.kind == "state" for event in found) == 22


def test_events_of_other_jobs_do_not_mix_in(queued, feed: EventFeed) -> None:
    one, other = queued(), queued()
    assert [event.id for event in feed.after(one.id, 0).events] == [1]
    assert [event.id for event in feed.after(other.id, 0).events] == [1]


def test_deleting_a_job_takes_its_events(
    queued, commands: JobCommands, database: Database, feed: EventFeed
) -> None:
    job, kept = queued(), queued()
    commands.delete(job.id)
    with database.read() as connection:
        assert connection.execute(select(func.count()).select_from(events)).scalar_one() == 1
    news = feed.after(job.id, 0)
    assert news.events == []
    assert news.is_all
    assert feed.after(kept.id, 0).events
