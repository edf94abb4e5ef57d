import json
import threading
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from sqlalchemy import func, insert, select, text, update
from sqlalchemy.exc import OperationalError, StatementError

from models.store.changes import Changes
from models.store.engine import Database, strict_json
from models.store.tables import datasets, now

ROW = {"rows": 1, "columns": [], "created": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)}


def count(database: Database) -> int:
    with database.read() as connection:
        return connection.execute(select(func.count()).select_from(datasets)).scalar_one()


def test_a_write_transaction_is_kept_whole_or_not_at_all(database: Database) -> None:
    with database.write() as connection:
        connection.execute(insert(datasets).values(id="first", **ROW))
    with pytest.raises(ZeroDivisionError), database.write() as connection:  # noqa: PT012
        connection.execute(insert(datasets).values(id="second", **ROW))
        connection.execute(insert(datasets).values(id="third", **ROW))
        raise ZeroDivisionError
    assert count(database) == 1


def test_a_reader_sees_nothing_of_a_write_that_is_under_way(database: Database) -> None:
    with database.write() as connection:
        connection.execute(insert(datasets).values(id="first", **ROW))
        assert count(database) == 0
    assert count(database) == 1


def test_writers_in_two_threads_queue_up_and_lose_no_update(database: Database) -> None:
    with database.write() as connection:
        connection.execute(insert(datasets).values(id="counter", **ROW | {"rows": 0}))
    both = threading.Barrier(2)

    def increment() -> None:
        both.wait()
        for _ in range(50):
            with database.write() as connection:
                rows = connection.execute(select(datasets.c.rows)).scalar_one()
                connection.execute(update(datasets).values(rows=rows + 1))

    threads = [threading.Thread(target=increment) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.read() as connection:
        assert connection.execute(select(datasets.c.rows)).scalar_one() == 100


def test_numbers_that_are_not_finite_are_stored_as_null(database: Database) -> None:
    columns = [{"mean": float("nan"), "range": (float("-inf"), 1.5), "name": "a"}]
    with database.write() as connection:
        connection.execute(insert(datasets).values(id="odd", **ROW | {"columns": columns}))
    with database.read() as connection:
        stored = connection.execute(text("SELECT columns FROM datasets")).scalar_one()
        read = connection.execute(select(datasets.c.columns)).scalar_one()
    assert json.loads(stored, parse_constant=pytest.fail) == read
    assert read == [{"mean": None, "range": [None, 1.5], "name": "a"}]


def test_strict_json_keeps_what_json_has() -> None:
    value = {"a": [1, 2.5, True, None, "é\u0000"], "b": {}}
    assert json.loads(strict_json(value)) == value


def test_times_come_back_in_utc_whatever_zone_they_had(database: Database) -> None:
    vienna = datetime(2026, 7, 1, 12, 0, tzinfo=timezone(timedelta(hours=2)))
    with database.write() as connection:
        connection.execute(insert(datasets).values(id="a", **ROW | {"created": vienna}))
    with database.read() as connection:
        found = connection.execute(select(datasets.c.created)).scalar_one()
    assert found == vienna
    assert found.utcoffset() == timedelta(0)


def test_a_time_without_a_zone_is_refused(database: Database) -> None:
    naive = datetime(2026, 7, 1, 12, 0)
    with pytest.raises(StatementError, match="without a zone"), database.write() as connection:
        connection.execute(insert(datasets).values(id="a", **ROW | {"created": naive}))
    assert count(database) == 0


def test_foreign_keys_are_enforced(database: Database) -> None:
    with database.read() as connection:
        assert connection.execute(text("PRAGMA foreign_keys")).scalar_one() == 1


def test_the_folder_of_a_sqlite_file_is_made_when_it_is_opened(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/a/b/luthier.db")
    assert list(tmp_path.iterdir()) == []
    assert database.revision() is None
    database.close()


def test_a_database_that_does_not_answer_is_an_error_not_an_empty_one(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}")
    with pytest.raises(OperationalError):
        database.revision()
    database.close()


def test_a_write_is_noticed_once(database: Database) -> None:
    changes = Changes(database)
    changes.noticed()
    assert not changes.noticed()
    with database.read() as connection:
        connection.execute(datasets.select()).all()
    with database.write():
        pass
    assert not changes.noticed()
    with database.write() as connection:
        connection.execute(datasets.insert().values(id="1", rows=1, columns=[], created=now()))
    assert changes.noticed()
    assert not changes.noticed()
    changes.close()


def test_stored_text_that_is_no_json_is_read_as_null(database: Database) -> None:
    with database.write() as connection:
        connection.execute(insert(datasets).values(ROW | {"id": "torn"}))
        if not database.is_postgresql:  # which refuses it
            connection.exec_driver_sql("UPDATE datasets SET columns = '[{'")
    with database.read() as connection:
        found = connection.execute(select(datasets.c.columns)).scalar_one()
    assert found == (ROW["columns"] if database.is_postgresql else None)
