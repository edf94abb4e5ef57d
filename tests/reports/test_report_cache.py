"""Reports and importance are made once for the same trials, and never out of date."""

from functools import partial
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import delete, insert

from models.errors import Conflict
from models.reports.cache import ResultCache
from models.store.engine import Database
from models.store.tables import trials
from tests.reports.recorded import trial_row

ROWS = [trial_row(n, 1.0 / n, {"units": n, "rate": (7 * n) % 12}) for n in range(1, 13)]


def picture(client: FlaskClient, job: str) -> bytes:
    return client.get(f"/tune/{job}/report?format=png").get_data()


def importance(client: FlaskClient, job: str) -> dict[str, Any]:
    return client.get(f"/tune/{job}/importance").get_json()


def test_each_change_of_a_running_job_is_in_its_next_report(
    app_client: FlaskClient, database: Database, record: Any, connect: Any, settings: Any
) -> None:
    job = record("job_1", ROWS, state="running", finished=None, stop_reason=None)
    others = connect(settings)  # another process of the API
    before, ranked = picture(app_client, job), importance(app_client, job)
    assert picture(app_client, job) == before
    assert importance(app_client, job) == ranked
    assert importance(others, job) == ranked
    best = trial_row(13, 0.001, {"units": 3, "rate": 3})
    with database.write() as connection:
        connection.execute(insert(trials).values(best | {"job": job}))
    for client in (app_client, others):
        assert importance(client, job)["trials"] == 13
        assert picture(client, job) != before
    with database.write() as connection:
        connection.execute(delete(trials).where(trials.c.number == 13))
    assert importance(app_client, job) == ranked
    assert picture(app_client, job) == before


def test_what_was_not_asked_for_longest_goes_first() -> None:
    made: list[str] = []

    def make(name: str, size: int = 300_000) -> bytes:
        made.append(name)
        return name.encode() * size

    cache = ResultCache(limit=1_000_000)
    for name in "abcabdac":
        assert cache.get(name, partial(make, name)) == name.encode() * 300_000
    assert made == [*"abcd", "c"]
    assert cache.get("large", lambda: make("e", 2_000_000)) == b"e" * 2_000_000
    made.clear()
    cache.get("a", lambda: make("a"))
    assert made == ["a"]


def test_a_failure_is_not_kept() -> None:
    cache = ResultCache()
    with pytest.raises(Conflict):
        cache.get("a", lambda: _fail())
    assert cache.get("a", lambda: None) is None
    assert cache.get("a", lambda: _fail()) is None


def _fail() -> None:
    raise Conflict("too few trials")
