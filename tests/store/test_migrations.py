from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect

from models.store import migrate as migrate_module
from models.store.engine import Database
from models.store.migrate import migrate
from models.store.tables import SCHEMA_REVISION, metadata

SCRIPTS = Path(migrate_module.__file__).parent / "migrations"


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path}/luthier.db")
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
            "INSERT INTO datasets (id, rows, columns, created) VALUES ('a', 1, '[]', '2026-01-01')"
        )
    migrate(empty)
    with empty.read() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM datasets").scalar_one() == 1


def test_a_database_can_be_taken_back_to_nothing(empty: Database) -> None:
    from alembic import command
    from alembic.config import Config

    migrate(empty)
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS))
    with empty.write() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
    with empty.read() as connection:
        assert inspect(connection).get_table_names() == ["alembic_version"]
    assert not empty.is_current
