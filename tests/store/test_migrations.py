import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import JSON, Column, MetaData, inspect, text
from sqlalchemy.exc import DBAPIError

from models.errors import SchemaError, Unavailable
from models.store import migrate as migrate_module
from models.store.engine import Database
from models.store.migrate import migrate
from models.store.readiness import check_schema, database_trouble
from models.store.tables import SCHEMA_REVISION, metadata, now

SCRIPTS = Path(migrate_module.__file__).parent / "migrations"


pytestmark = pytest.mark.both_databases


@pytest.fixture
def empty(tmp_path: Path, backend: str, request: pytest.FixtureRequest) -> Iterator[Database]:
    """A database without any table."""
    if backend == "sqlite":
        database = Database(f"sqlite:///{tmp_path}/luthier.db")
    else:
        server: Database = request.getfixturevalue("migrated_postgresql")
        name = f"empty_{secrets.token_hex(4)}"
        with server.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
        database = Database(server.engine.url.set(database=name).render_as_string())
    yield database
    database.close()


def test_a_database_is_current_only_after_its_migrations(empty: Database) -> None:
    assert empty.revision() is None
    assert not empty.is_current
    migrate(empty)
    assert empty.revision() == SCHEMA_REVISION
    assert empty.is_current


def test_the_newest_migration_is_the_revision_that_the_code_expects() -> None:
    assert ScriptDirectory(str(SCRIPTS)).get_current_head() == SCHEMA_REVISION


def test_the_migrations_make_exactly_the_tables_of_the_code(empty: Database) -> None:
    migrate(empty)
    with empty.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_migrating_twice_keeps_what_is_there(empty: Database) -> None:
    migrate(empty)
    with empty.write() as connection:
        connection.exec_driver_sql(
            "INSERT INTO datasets (id, rows, columns, created)"
            " VALUES ('a', 1, '[]', '2026-01-01 00:00:00')"
        )
    migrate(empty)
    with empty.read() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM datasets").scalar_one() == 1


def test_processes_that_migrate_at_once_wait_for_one_another(empty: Database) -> None:
    databases = [Database(empty.engine.url.render_as_string()) for _ in range(4)]
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(migrate, databases))
    assert [database.is_current for database in databases] == [True] * 4
    for database in databases:
        database.close()


def test_an_older_schema_says_what_to_run(empty: Database) -> None:
    with pytest.raises(SchemaError, match=r"it stands at none, .* needs .* Run: luthier migrate"):
        check_schema(empty)
    _take_to(empty, "0002")
    with pytest.raises(SchemaError, match=r"it stands at 0002, .* Run: luthier migrate"):
        check_schema(empty)
    migrate(empty)
    check_schema(empty)


def test_a_process_serves_on_over_a_newer_schema_but_not_over_an_older(empty: Database) -> None:
    migrate(empty)
    for revision, serves in ((SCHEMA_REVISION, True), ("9999", True), ("0001", False)):
        with empty.write() as connection:
            connection.execute(text(f"UPDATE alembic_version SET version_num = '{revision}'"))
        assert (database_trouble(empty) is None) == serves


def test_a_newer_schema_is_left_alone(empty: Database) -> None:
    migrate(empty)
    with empty.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    for use in (check_schema, migrate):
        with pytest.raises(SchemaError, match="stands at migration 9999, which is newer"):
            use(empty)
    assert empty.revision() == "9999"


def test_a_migration_that_fails_changes_nothing(empty: Database) -> None:
    with empty.write() as connection:
        connection.execute(text("CREATE TABLE events (id INTEGER)"))  # 0003 makes one of this name
    with pytest.raises((DBAPIError, Unavailable), match="events"):
        migrate(empty)
    with empty.read() as connection:
        assert inspect(connection).get_table_names() == ["events"]


def _take_to(database: Database, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS))
    with database.write() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


def test_a_database_can_be_taken_back_to_nothing(empty: Database) -> None:
    migrate(empty)
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS))
    with empty.write() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
    with empty.read() as connection:
        assert inspect(connection).get_table_names() == ["alembic_version"]
    assert not empty.is_current


REVISIONS = [script.revision for script in ScriptDirectory(str(SCRIPTS)).walk_revisions()][::-1]


def _upgrade(database: Database, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS))
    with database.migrate() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


def _fill(database: Database, revision: str) -> None:
    """Write a row into every table, as far as the revision has it."""
    found = MetaData()
    found.reflect(database.engine)
    with database.write() as connection:
        for table in found.sorted_tables:
            if table.name == "alembic_version":
                continue
            row = {
                column.name: _example(column, revision)
                for column in table.columns
                if not column.nullable or column.foreign_keys
            }
            connection.execute(table.insert().values(row))


def _example(column: Column[Any], revision: str) -> Any:
    """Return a value that no row of an earlier revision has, where they may have to differ."""
    if isinstance(column.type, JSON):
        return {}
    kind, number = column.type.python_type, int(revision)
    if kind is datetime:
        return now()
    return {str: f"x{number}", int: number, float: 1.0, bool: True}[kind]


def _counts(database: Database) -> dict[str, int]:
    names = set(inspect(database.engine).get_table_names()) - {"alembic_version"}
    with database.read() as connection:
        return {
            name: connection.exec_driver_sql(f"SELECT count(*) FROM {name}").scalar_one()
            for name in names
        }


def test_no_migration_loses_a_row(empty: Database) -> None:
    """Rows of every revision, as it stores them, are there after each later one."""
    for revision in REVISIONS:
        before = _counts(empty)
        _upgrade(empty, revision)
        after = _counts(empty)
        assert {name: after[name] for name in before} == before, revision
        _fill(empty, revision)
    written = _counts(empty)
    assert {written[name] for name in ("jobs", "trials", "datasets")} == {len(REVISIONS)}
    with empty.write() as connection:
        connection.exec_driver_sql("DELETE FROM jobs")
        left = connection.exec_driver_sql("SELECT count(*) FROM trials").scalar_one()
    assert left == 0, "foreign keys are enforced again"


def test_what_was_known_of_moves_of_aliases_is_kept(empty: Database) -> None:
    _upgrade(empty, "0014")
    moves = [("m", "champion", 1), ("m", "best", 1), ("m", "champion", 2), ("n", "champion", 1)]
    with empty.write() as connection:
        for model, alias, version in moves:
            connection.exec_driver_sql(
                "INSERT INTO alias_history (model, alias, version, created)"
                f" VALUES ('{model}', '{alias}', {version}, '2026-01-01 00:00:00')"
            )
    _upgrade(empty, "0015")
    query = text("SELECT model, alias, previous, version FROM alias_moves ORDER BY id")
    with empty.read() as connection:
        assert connection.execute(query).all() == [
            ("m", "champion", None, 1),
            ("m", "best", None, 1),
            ("m", "champion", 1, 2),
            ("n", "champion", None, 1),
        ]
