"""What only PostgreSQL has: a server that can be away, and a clock of its own."""

import multiprocessing
from collections.abc import Callable
from itertools import chain

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from models.jobs.model import Job
from models.jobs.store.queue import JobQueue
from models.settings import Settings
from models.store.engine import Database
from tests.jobs.steps import LEASE
from tests.postgres import PostgresServer
from tests.waiting import wait_until

pytestmark = pytest.mark.parametrize("backend", ["postgresql"], indirect=True)


def test_a_server_that_was_restarted_is_used_again_at_once(
    postgres: PostgresServer, app_client: FlaskClient
) -> None:
    assert app_client.get("/tune").status_code == 200
    postgres.stop()
    try:
        away = app_client.get("/tune")
        probe = app_client.get("/readyz")
        alive = app_client.get("/healthz")
    finally:
        postgres.start()
    assert (away.status_code, away.headers["Retry-After"]) == (503, "1")
    assert probe.status_code == 503
    assert probe.get_json()["detail"] == "The database does not answer."
    assert alive.status_code == 200
    assert app_client.get("/tune").status_code == 200
    assert app_client.get("/readyz").get_json()["status"] == "ready"


def test_a_frozen_server_is_given_up_and_told(
    postgres: PostgresServer, app_client: FlaskClient
) -> None:
    assert app_client.get("/tune").status_code == 200
    with postgres.frozen():
        probe = app_client.get("/readyz")
        away = app_client.get("/tune")
    assert probe.get_json()["checks"]["database"] == "The database does not answer."
    assert (away.status_code, away.headers["Retry-After"]) == (503, "1")
    assert app_client.get("/tune").status_code == 200
    wait_until(lambda: app_client.get("/readyz").status_code == 200)


def test_a_row_that_another_holds_is_not_waited_for_for_long(
    database: Database, app_client: FlaskClient, connect: Callable[[Settings], FlaskClient]
) -> None:
    url = database.engine.url.render_as_string()
    client = connect(Settings(database_url=url, database_wait=0.2))
    with database.write() as connection:
        connection.execute(text("LOCK TABLE jobs"))
        assert client.get("/readyz").status_code == 200
        answer = client.get("/tune")
    assert answer.status_code == 503
    assert "locked" in answer.get_json()["detail"]
    assert client.get("/tune").status_code == 200


def test_a_connection_that_was_killed_is_replaced(database: Database) -> None:
    with database.write() as connection:
        connection.execute(text("SELECT 1"))
    killer = Database(database.engine.url.render_as_string())
    with killer.write() as connection:
        connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )
    killer.close()
    with database.write() as connection:
        assert connection.execute(text("SELECT 1")).scalar_one() == 1


def test_a_statement_waits_for_a_lock_for_a_limited_time(database: Database) -> None:
    with database.read() as connection:
        assert connection.execute(text("SHOW lock_timeout")).scalar_one() == "10s"
        assert connection.execute(text("SHOW statement_timeout")).scalar_one() == "30s"


def test_reading_cannot_write(database: Database) -> None:
    with pytest.raises(DBAPIError, match="read-only"), database.read() as connection:
        connection.execute(text("DELETE FROM jobs"))


def test_names_that_others_use_for_the_driver_are_taken(
    settings: Settings, database: Database
) -> None:
    _, _, place = settings.database_url.partition("://")
    for driver in ("postgres", "postgresql", "postgresql+psycopg"):
        other = Database(f"{driver}://{place}?application_name=tests")
        with other.read() as connection:
            assert connection.execute(text("SHOW application_name")).scalar_one() == "tests"
        other.close()


def test_claimants_in_two_processes_never_share_a_job(
    settings: Settings, queued: Callable[..., Job]
) -> None:
    wanted = sorted(queued().id for _ in range(30))
    context = multiprocessing.get_context("spawn")
    with context.Pool(2) as pool:
        claims = [
            pool.apply_async(_claim_all, (settings.resolved_database_url, f"worker-{number}"))
            for number in range(2)
        ]
        claimed = [claim.get(60) for claim in claims]
    assert sorted(chain(*claimed)) == wanted


def _claim_all(url: str, owner: str) -> list[str]:
    database = Database(url)
    queue, claimed = JobQueue(database, owner, LEASE), []
    while (job := queue.claim()) is not None:
        claimed.append(job.id)
    database.close()
    return claimed
