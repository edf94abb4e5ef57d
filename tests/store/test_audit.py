"""The entry of a command is written in the transaction of its change, whoever opens that."""

from collections.abc import Iterator
from contextlib import suppress

import pytest
from sqlalchemy import delete, insert, select, update

from models.store.audit import Actor, Command, carrying_out, tell
from models.store.engine import Database
from models.store.tables import api_keys, audit, jobs, now

pytestmark = pytest.mark.both_databases

ROW = {"id": "k", "name": "n", "digest": "d", "scopes": [], "created": now()}


@pytest.fixture
def command() -> Iterator[Command]:
    command = Command(Actor("ci", "0123456789ab"), "doSomething", "key", request_id="r")
    with carrying_out(command):
        yield command


def entries(database: Database) -> list[tuple[str | None, dict[str, object]]]:
    with database.read() as connection:
        rows = connection.execute(select(audit).order_by(audit.c.entry)).all()
    return [(row.id, row.details) for row in rows]


def test_a_transaction_that_changes_a_row_leaves_an_entry(
    database: Database, command: Command
) -> None:
    with database.write() as connection:
        connection.execute(insert(api_keys).values(ROW))
        tell("key", "k", said="so")
    assert entries(database) == [("k", {"said": "so"})]


def test_one_that_fails_leaves_neither(database: Database, command: Command) -> None:
    with suppress(ZeroDivisionError), database.write() as connection:
        connection.execute(insert(api_keys).values(ROW))
        raise ZeroDivisionError
    assert entries(database) == []
    with database.write() as connection:
        connection.execute(insert(api_keys).values(ROW))
    assert len(entries(database)) == 1, "the entry that was rolled back is not completed"


def test_one_that_changes_no_row_leaves_none(database: Database, command: Command) -> None:
    with database.write() as connection:
        connection.execute(select(jobs).with_for_update())
        connection.execute(update(jobs).values(owner="x"))
        connection.execute(delete(jobs))
    assert entries(database) == []


def test_a_command_of_several_transactions_has_one_entry(
    database: Database, command: Command
) -> None:
    for name in ("first", "second"):
        with database.write() as connection:
            connection.execute(insert(api_keys).values(ROW | {"id": name}))
            tell("key", name)
    assert entries(database) == [("first", {"key": "second"})]


def test_without_a_command_nothing_is_recorded(database: Database) -> None:
    tell("key", "k")
    with database.write() as connection:
        connection.execute(insert(api_keys).values(ROW))
    assert entries(database) == []
