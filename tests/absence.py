"""Parts that are away for a while."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from models.settings import Settings
from models.store.engine import Database


@contextmanager
def database_away(settings: Settings, *databases: Database) -> Iterator[None]:
    """Take the SQLite file away, which no query may use just now, and put it back.

    Meanwhile each of `databases`, all that have it open, finds an empty one without any table.
    """
    path = Path(settings.data) / "luthier.db"
    kept = path.with_name("kept.db")
    for database in databases:
        database.close()  # also writes the log of SQLite into the file
    path.rename(kept)
    try:
        yield
    finally:
        for database in databases:
            database.close()
        kept.replace(path)
