"""Bring a database to the newest schema."""

from pathlib import Path

from alembic import command
from alembic.config import Config

from models.store.engine import Database

_SCRIPTS = Path(__file__).parent / "migrations"


def migrate(database: Database) -> None:
    """Run every migration that `database` lacks; safe to call again."""
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS))
    with database.write() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
