"""Deletions and jobs at the same moment: one transaction decides, in every interleaving."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select, update

from models.data.library.catalog import DatasetCatalog
from models.errors import NotFound
from models.jobs.model import JobState
from models.jobs.store.held_job import HeldJob
from models.jobs.store.queue import JobQueue
from models.registry.catalog.catalog import ModelCatalog
from models.registry.catalog.removal import ModelRemoval
from models.settings import Settings
from models.store.engine import Database
from models.store.tables import aliases, datasets, jobs, versions
from tests.retention.conftest import REQUEST, ROWS, MakeJob, Publish

pytestmark = pytest.mark.both_databases
ROUNDS = 12


@pytest.fixture
def clients(settings: Settings, connect: Callable[[Settings], FlaskClient]) -> list[FlaskClient]:
    """Two API processes, as far as the database can tell."""
    return [connect(settings), connect(settings)]


def together(*actions: Callable[[], Any]) -> list[Any]:
    """Begin all actions at the same moment; return their results."""
    barrier = threading.Barrier(len(actions))

    def act(action: Callable[[], Any]) -> Any:
        barrier.wait()
        return action()

    with ThreadPoolExecutor(len(actions)) as threads:
        return list(threads.map(act, actions))


@pytest.mark.parametrize("role", ["dataset", "validation_dataset", "test_dataset"])
def test_a_dataset_is_deleted_or_has_a_job_never_both(
    clients: list[FlaskClient], database: Database, role: str
) -> None:
    first, second = clients
    other = {"records": [{"x": float(n), "y": float(n)} for n in range(30)]}
    outcomes = set()
    for _ in range(ROUNDS):
        dataset = first.post("/datasets", json=ROWS).get_json()["id"]
        request = REQUEST | {"dataset": dataset}
        if role != "dataset":
            main = first.post("/datasets", json=other).get_json()["id"]
            request |= {"dataset": main, "evaluation": {role: dataset}}
        started, deleted = together(
            partial(second.post, "/tune", json=request),
            partial(first.delete, f"/datasets/{dataset}"),
        )
        answers = started.status_code, deleted.status_code
        assert answers in {(202, 409), (404, 204)}, (started.text, deleted.text)
        outcomes.add(answers)
        if started.status_code == 202:
            assert first.get(f"/datasets/{dataset}/preview").status_code == 200
            first.post(f"/tune/{started.get_json()['id']}/cancel")
    assert outcomes


@pytest.mark.parametrize("order", ["deletion first", "job first"])
def test_either_waits_for_the_transaction_of_the_other(
    clients: list[FlaskClient], database: Database, dataset: str, order: str
) -> None:
    """Whoever is first holds the dataset's row until its transaction ends."""
    catalog, answers = DatasetCatalog(database), []
    start = partial(clients[0].post, "/tune", json=REQUEST | {"dataset": dataset})
    delete = partial(clients[1].delete, f"/datasets/{dataset}")
    late = start if order == "deletion first" else delete
    thread = threading.Thread(target=lambda: answers.append(late().status_code))
    with database.write() as connection:
        lock = select(datasets.c.id).where(datasets.c.id == dataset)
        connection.execute(lock.with_for_update(read=order == "job first")).one()
        thread.start()
        thread.join(0.3)
        assert answers == []
        if order == "deletion first":
            connection.execute(datasets.delete().where(datasets.c.id == dataset))
    thread.join()
    assert answers == ([404] if order == "deletion first" else [204])
    assert not catalog.exists(dataset)


def test_a_raised_budget_and_a_deletion_never_both_succeed(
    clients: list[FlaskClient], make_job: MakeJob, dataset: str
) -> None:
    first, second = clients
    for _ in range(ROUNDS):
        first.post("/datasets", json=ROWS)
        job = make_job()
        raised, deleted = together(
            partial(second.patch, f"/tune/{job}", json={"budget": {"max_trials": 9}}),
            partial(first.delete, f"/datasets/{dataset}"),
        )
        answers = raised.status_code, deleted.status_code
        assert answers in {(202, 409), (409, 204)}, (raised.text, deleted.text)
        if raised.status_code == 202:
            first.post(f"/tune/{job}/cancel")


def test_an_ended_job_without_its_dataset_says_why_it_cannot_go_on(
    app_client: FlaskClient, make_job: MakeJob, dataset: str
) -> None:
    job = make_job()
    assert app_client.delete(f"/datasets/{dataset}").status_code == 204
    wanted = {"budget": {"max_trials": 9}}
    refused = app_client.patch(f"/tune/{job}", json=wanted)
    assert refused.status_code == 409
    assert f"Dataset {dataset} of job {job} was deleted" in refused.get_json()["detail"]
    assert app_client.get(f"/tune/{job}").get_json()["state"] == "succeeded"
    app_client.post("/datasets", json=ROWS)
    assert app_client.patch(f"/tune/{job}", json=wanted).status_code == 202


def test_a_builtin_dataset_deleted_as_its_job_begins_is_loaded_again(
    app_client: FlaskClient, database: Database
) -> None:
    app_client.post("/tune", json=REQUEST | {"dataset": "builtin:diabetes", "target": "target"})
    job = JobQueue(database, "worker-1", 60).claim()
    assert job is not None
    held = HeldJob(database, job.id, "worker-1")
    with pytest.raises(NotFound):
        held.set_dataset("ds_gone")
    assert held.job().dataset is None


def test_a_job_that_is_narrowed_is_deleted_or_has_its_successor(
    clients: list[FlaskClient], make_job: MakeJob, database: Database
) -> None:
    first, second = clients
    for _ in range(ROUNDS):
        source = make_job()
        request = {"model": "m", "narrow_from": {"job": source}, "budget": {"max_trials": 2}}
        started, deleted = together(
            partial(second.post, "/tune", json=request),
            partial(first.delete, f"/tune/{source}"),
        )
        answers = started.status_code, deleted.status_code
        # 422: the trials went between two looks at them.
        assert answers in {(202, 409), (404, 204), (422, 204)}, (started.text, deleted.text)
        if started.status_code == 202:
            first.post(f"/tune/{started.get_json()['id']}/cancel")
            assert first.delete(f"/tune/{source}").status_code == 204


def test_an_alias_and_the_deletion_of_its_version_never_both_succeed(
    clients: list[FlaskClient], publish: Publish, database: Database
) -> None:
    first, second = clients
    publish(), publish()
    for version in range(3, 3 + ROUNDS):
        assert publish() == version
        first.put("/models/m/aliases/champion", json={"version": 1})
        pointed, deleted = together(
            partial(second.put, "/models/m/aliases/new", json={"version": version}),
            partial(first.delete, f"/models/m/versions/{version}"),
        )
        answers = pointed.status_code, deleted.status_code
        assert answers in {(200, 409), (404, 204)}, (pointed.text, deleted.text)


def test_a_version_is_published_while_its_model_is_deleted_again_and_again(
    settings: Settings, publish: Publish, database: Database
) -> None:
    other = Database(settings.resolved_database_url)

    def remove() -> None:
        removal = ModelRemoval(other)
        for _ in range(ROUNDS):
            try:
                removal.remove_model("m")
            except NotFound:
                continue

    published = together(lambda: [publish() for _ in range(ROUNDS)], remove)[0]
    other.close()
    assert published == list(range(1, ROUNDS + 1))  # no number twice
    publish()
    with database.read() as connection:
        (champion,) = connection.execute(select(aliases.c.version)).scalars()
        assert champion == ROUNDS + 1
        assert champion in connection.execute(select(versions.c.version)).scalars().all()


def test_jobs_of_a_deleted_version_name_it_no_more(
    app_client: FlaskClient, make_job: MakeJob, publish: Publish, database: Database
) -> None:
    job = make_job(JobState.SUCCEEDED)
    version = publish(job=job)
    with database.write() as connection:
        connection.execute(update(jobs).where(jobs.c.id == job).values(version=version))
    publish()
    assert ModelCatalog(database).version_of(job, 1) == version
    assert app_client.delete(f"/models/m/versions/{version}").status_code == 204
    assert app_client.get(f"/tune/{job}").get_json()["version"] is None
