from functools import partial
from typing import Any

import pytest
from sqlalchemy import func, insert, select

from models.errors import Conflict, LeaseLost, NotFound, Unreadable
from models.jobs.commands import JobCommands
from models.jobs.model import JobState, TrialState
from models.jobs.reader import JobReader
from models.jobs.schema.spec import dump_spec, load_spec, shown_request
from models.jobs.store.events import EventFeed
from models.oracles.strategy import Bayesian
from models.store.artifacts import Artifacts
from models.store.engine import Database
from models.store.tables import jobs, now, trials, versions
from tests.jobs.steps import propose, scored, store_dataset

pytestmark = pytest.mark.both_databases


def count(database: Database, table: Any) -> int:
    with database.read() as connection:
        return connection.execute(select(func.count()).select_from(table)).scalar_one()


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"class_weight": "balanced", "sample_weight": "petal width (cm)"},
        {"class_weight": (("0", 1.0), ("1", 2.5), ("2", 1.0))},
    ],
    ids=["plain", "balanced", "factors"],
)
def test_a_job_is_stored_as_it_was_asked_for(
    commands: JobCommands, reader: JobReader, make_spec, changes: dict[str, Any]
) -> None:
    spec = make_spec(**changes)
    job = commands.create(spec, 3)
    found = reader.get(job.id)
    assert found == job
    assert found.spec == spec
    assert found.state == JobState.QUEUED
    assert found.planned_trials == 3
    assert found.dataset is None


def test_jobs_from_before_rows_had_weights_are_read(make_spec) -> None:
    document = dump_spec(make_spec())
    del document["class_weight"], document["sample_weight"]
    assert load_spec(document, "the job") == make_spec()


def test_jobs_from_before_there_were_thresholds_are_read(make_spec) -> None:
    document = dump_spec(make_spec())
    assert document.pop("threshold") == "auto"
    assert load_spec(document, "the job") == make_spec()


def test_jobs_from_before_documents_had_a_version_are_read(make_spec) -> None:
    document = dump_spec(make_spec(budget={"target_score": 0.5}))
    del document["schema_version"]
    document["budget"]["target"] = document["budget"].pop("target_score")
    assert load_spec(document, "the job") == make_spec(budget={"target_score": 0.5})


def test_jobs_from_before_the_noise_was_estimated_are_read(make_spec) -> None:
    spec = make_spec(strategy=Bayesian(num_initial_points=4), budget={"max_trials": 9})
    document = dump_spec(spec)
    document["strategy"] |= {"alpha": 1e-4, "beta": 2.6}
    assert load_spec(document, "the job") == spec
    assert "alpha" not in shown_request(document)["strategy"]


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["schema_version"], 99, "schema_version: 99 is not a version"),
        (["search_space", "units"], {"type": "int", "min": 1, "max": 5000}, "search_space.units"),
        (["evaluation", "folds"], "five", "evaluation.folds"),
        (["evaluation", "validation_fraction"], 7.0, "evaluation.validation_fraction"),
        (["a_new_field"], 1, "a_new_field: Unknown field"),
        (["task"], "ranking", "task"),
        (["task"], "auto", "task: It was not decided"),
        (["budget", "epochs"], None, "budget.epochs: It was not decided"),
        (["objective", "metric"], "luck", "objective.metric"),
    ],
)
def test_a_document_that_cannot_be_read_is_named_with_its_field(
    make_spec, path: list[str], value: object, message: str
) -> None:
    document = dump_spec(make_spec())
    place = document
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    with pytest.raises(Unreadable, match=f"cannot read the job: .*{message}"):
        load_spec(document, "the job")


def test_the_dataset_of_a_stored_one_is_known_at_once(
    commands: JobCommands, make_spec, database: Database
) -> None:
    store_dataset(database, "ds_1")
    assert commands.create(make_spec(dataset="ds_1"), 3).dataset == "ds_1"


def test_cancelling_a_queued_job_ends_it_at_once(queued, commands: JobCommands) -> None:
    job = commands.cancel(queued().id)
    assert job.state == JobState.CANCELLED
    assert job.finished is not None
    assert commands.cancel(job.id) == job


def test_cancelling_a_running_job_leaves_the_end_to_its_worker(
    queued, claim, commands: JobCommands, reader: JobReader
) -> None:
    queued()
    job, held = claim()
    propose(held, 2)
    held.start(1)
    assert commands.cancel(job.id).state == JobState.CANCELLING
    assert commands.cancel(job.id).state == JobState.CANCELLING
    assert reader.trial(job, 1).state == TrialState.RUNNING
    held.finish(JobState.CANCELLED)
    assert {trial.state for trial in reader.trials(job)} == {TrialState.CANCELLED}
    assert reader.get(job.id).finished is not None


def test_cancelling_a_paused_job_ends_it_and_its_waiting_trials(
    queued, claim, commands: JobCommands, reader: JobReader
) -> None:
    queued()
    job, held = claim()
    propose(held, 2)
    held.start(1)
    held.complete(1, scored(0.5), {}, 1.0)
    commands.pause(job.id)
    held.release(1.0)
    assert commands.cancel(job.id).state == JobState.CANCELLED
    assert [trial.state for trial in reader.trials(job)] == [
        TrialState.COMPLETED,
        TrialState.CANCELLED,
    ]


def test_cancelling_a_paused_job_that_its_worker_still_holds(
    queued, claim, commands: JobCommands
) -> None:
    queued()
    job, _ = claim()
    commands.pause(job.id)
    assert commands.cancel(job.id).state == JobState.CANCELLING


def test_a_job_can_be_paused_and_resumed(queued, claim, commands: JobCommands) -> None:
    job = queued()
    for _ in range(2):
        assert commands.pause(job.id).state == JobState.PAUSED
    for _ in range(2):
        assert commands.resume(job.id).state == JobState.QUEUED
    claim()
    assert commands.pause(job.id).state == JobState.PAUSED
    assert commands.resume(job.id).state == JobState.QUEUED


@pytest.mark.parametrize("final", [JobState.SUCCEEDED, JobState.FAILED])
def test_a_job_that_has_ended_takes_no_requests(
    queued, claim, commands: JobCommands, reader: JobReader, final: JobState
) -> None:
    queued()
    job, held = claim()
    held.finish(final)
    before = reader.get(job.id)
    for ask in (commands.pause, commands.resume, commands.cancel):
        with pytest.raises(Conflict, match=final):
            ask(job.id)
    assert reader.get(job.id) == before


def test_a_cancelled_job_cannot_be_resumed(queued, commands: JobCommands) -> None:
    job = commands.cancel(queued().id)
    for ask in (commands.pause, commands.resume):
        with pytest.raises(Conflict, match="cancelled"):
            ask(job.id)


def test_resuming_a_running_job_is_refused(queued, claim, commands: JobCommands) -> None:
    queued()
    job, _ = claim()
    with pytest.raises(Conflict, match="running; only a paused one can be resumed"):
        commands.resume(job.id)


def test_deleting_takes_trials_and_files_but_no_version(
    queued, claim, commands: JobCommands, artifacts: Artifacts, database: Database
) -> None:
    queued()
    job, held = claim()
    propose(held, 2)
    artifacts.write(f"jobs/{job.id}/trials/1/weights-0-0.npz", b"x")
    row = {"model": "iris", "version": 1, "task": "multiclass", "job": job.id, "created": now()}
    with database.write() as connection:
        connection.execute(insert(versions).values(**row, files={}, details={}, ready=True))
    held.finish(JobState.SUCCEEDED, version=1)
    commands.delete(job.id)
    assert [count(database, table) for table in (jobs, trials, versions)] == [0, 0, 1]
    assert not artifacts.exists(f"jobs/{job.id}")


def test_a_queued_job_can_be_deleted(queued, commands: JobCommands, database: Database) -> None:
    commands.delete(queued().id)
    assert count(database, jobs) == 0


@pytest.mark.parametrize("state", ["running", "paused", "cancelling"])
def test_a_job_that_is_not_at_an_end_cannot_be_deleted(
    queued, claim, commands: JobCommands, reader: JobReader, state: str
) -> None:
    queued()
    job, _ = claim()
    if state != "running":
        {"paused": commands.pause, "cancelling": commands.cancel}[state](job.id)
    with pytest.raises(Conflict, match=f"is {state}; cancel it before deleting it"):
        commands.delete(job.id)
    assert reader.get(job.id).state == state


def test_an_unknown_job_is_not_found(
    commands: JobCommands, reader: JobReader, database: Database
) -> None:
    for ask in (commands.pause, commands.resume, commands.cancel, commands.delete, reader.get):
        with pytest.raises(NotFound, match="job 'job_nowhere'"):
            ask("job_nowhere")
    for change in (commands.enqueue, commands.change):
        with pytest.raises(NotFound, match="job 'job_nowhere'"):
            change("job_nowhere", {})


def test_a_job_is_taken_from_its_worker(
    queued, claim, commands: JobCommands, database: Database, reader: JobReader
) -> None:
    queued()
    job, held = claim()
    for number in propose(held, 2):
        held.start(number)
    requeued = commands.requeue(job.id)
    assert (requeued.state, requeued.owner, requeued.lease_until) == (JobState.QUEUED, None, None)
    found = [(trial.state, trial.retries) for trial in reader.trials(requeued)]
    assert found == [(TrialState.WAITING, 0)] * 2
    for write in (partial(held.start, 1), held.resume, held.release):
        with pytest.raises(LeaseLost):
            write()
    again, other = claim("worker-2")
    assert (again.id, again.state, again.owner) == (job.id, JobState.RUNNING, "worker-2")
    other.start(1)
    states = [
        event.data["state"]
        for event in EventFeed(database).after(job.id, 0).events
        if event.kind == "state"
    ]
    assert states == ["queued", "running", "queued", "running"]


def test_a_job_that_is_being_cancelled_is_taken_for_another_worker_to_end(
    queued, claim, commands: JobCommands
) -> None:
    queued()
    job, _ = claim()
    commands.cancel(job.id)
    assert commands.requeue(job.id).state == JobState.CANCELLING
    assert claim("worker-2")[0].state == JobState.CANCELLING


@pytest.mark.parametrize("case", ["queued", "paused", "held and paused", "ended"])
def test_what_no_worker_works_on_cannot_be_taken(
    queued, claim, commands: JobCommands, reader: JobReader, case: str
) -> None:
    job = queued()
    if case == "held and paused":
        claim()
    if "paused" in case:
        commands.pause(job.id)
    if case == "ended":
        claim()[1].finish(JobState.SUCCEEDED)
    before = reader.get(job.id)
    with pytest.raises(Conflict, match=f"Job {job.id} is {before.state}"):
        commands.requeue(job.id)
    assert reader.get(job.id) == before
