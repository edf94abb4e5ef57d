"""Units of the artifact root: which files a dataset, a job, a batch or a version needs.

Files count only through rows. A unit that may just be written, as that of an unfinished job, needs
all of its files.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, select

from models.batches.model import FINAL_STATES, result_name
from models.data.library.sources import load_source
from models.errors import NotFound, Unreadable
from models.jobs.model import Job
from models.jobs.reader import JobReader
from models.store.engine import Database
from models.store.tables import batches, datasets, now, versions

TEMPORARY = ".tmp"  # ends the name of a file that is just being written, or was not finished


class Room(StrEnum):
    """The kinds of units, as the folders below the artifact root are named."""

    DATASETS = "datasets"
    JOBS = "jobs"
    BATCHES = "batches"
    MODELS = "models"
    LOGS = "logs"  # of predictions, by model


@dataclass(frozen=True, slots=True)
class Unit:
    """A folder whose files one row names."""

    room: Room
    id: str  # of the dataset, job or batch, or the name of the model
    version: int = 0  # of a model; 0 for other units

    @property
    def folder(self) -> str:
        """Return its name below the artifact root."""
        place = f"{self.room}/{self.id}"
        return f"{place}/{self.version}" if self.room is Room.MODELS else place


def unit_of(name: str) -> Unit | None:
    """Return the unit that a folder is or a file lies in; None for any other name."""
    room, *parts = name.split("/")
    if room not in set(Room) or not parts or not parts[0]:
        return None
    if room != Room.MODELS:
        return Unit(Room(room), parts[0])
    if len(parts) < 2 or not parts[1].isdecimal():
        return None
    return Unit(Room.MODELS, parts[0], int(parts[1]))


@dataclass(frozen=True, slots=True)
class Needs:
    """The files of a unit that are needed, by the beginnings of their names."""

    beginnings: tuple[str, ...] = ()
    is_held: bool = False  # it may just be written: everything is needed

    def __contains__(self, name: str) -> bool:
        """Whether a file is needed."""
        if self.is_held:
            return True
        return not name.endswith(TEMPORARY) and name.startswith(self.beginnings)


NOTHING, EVERYTHING = Needs(), Needs(is_held=True)


class UnitNeeds:
    """Asks the database which files a unit needs.

    `weights_days` is for how many days after the end of a job the weights of its best trials are
    kept; 0 for ever.
    """

    def __init__(self, database: Database, weights_days: float = 0.0) -> None:
        self._database = database
        self._reader = JobReader(database)
        self._weights_days = weights_days

    def of(self, unit: Unit) -> Needs:
        """Return what a unit needs now; nothing if its row is gone."""
        if unit.room is Room.JOBS:
            return self._of_job(unit)
        with self._database.read() as connection:
            if unit.room is Room.DATASETS:
                return needs_of_dataset(connection, unit)
            if unit.room is Room.BATCHES:
                return _needs_of_batch(connection, unit)
            if unit.room is Room.LOGS:
                return _needs_of_log(connection, unit)
            return _needs_of_version(connection, unit)

    def _of_job(self, unit: Unit) -> Needs:
        try:
            job = self._reader.get(unit.id)
            if not job.state.is_final:
                return EVERYTHING
            return Needs(self._weights_of(job))
        except NotFound:
            return NOTHING
        except Unreadable:
            return EVERYTHING

    def _weights_of(self, job: Job) -> tuple[str, ...]:
        """Return the folders of the trials that may win an ended job, unless it is too old."""
        ended = job.finished or job.created
        if self._weights_days and ended < now() - timedelta(days=self._weights_days):
            return ()
        return tuple(f"jobs/{job.id}/trials/{number}/" for number in self._reader.kept(job))


def needs_of_dataset(connection: Connection, unit: Unit) -> Needs:
    """Return what a dataset needs, as the transaction sees it."""
    query = select(datasets.c.source).where(datasets.c.id == unit.id)
    row = connection.execute(query).one_or_none()
    if row is None:
        return NOTHING
    source = load_source(row.source)
    named = () if source is None else (source.stored_name(unit.id),)
    return Needs((f"{unit.folder}/column", *named))


def _needs_of_batch(connection: Connection, unit: Unit) -> Needs:
    query = select(batches.c.state, batches.c.sha256).where(batches.c.id == unit.id)
    row = connection.execute(query).one_or_none()
    if row is None:
        return NOTHING
    if row.state not in FINAL_STATES:
        return EVERYTHING
    return NOTHING if row.sha256 is None else Needs((result_name(unit.id, row.sha256),))


def _needs_of_log(connection: Connection, unit: Unit) -> Needs:
    """Return all files of a log while there is the model: the sweep's rules delete old ones."""
    query = select(versions.c.version).where(versions.c.model == unit.id, versions.c.ready)
    is_there = connection.execute(query.limit(1)).first() is not None
    return Needs((f"{unit.folder}/",)) if is_there else NOTHING


def _needs_of_version(connection: Connection, unit: Unit) -> Needs:
    query = select(versions.c.ready, versions.c.files).where(
        versions.c.model == unit.id, versions.c.version == unit.version
    )
    row = connection.execute(query).one_or_none()
    if row is None:
        return NOTHING
    names = registered_names(unit, row.files) if row.ready else None
    return EVERYTHING if names is None else Needs(tuple(names.values()))


def registered_names(unit: Unit, files: Any) -> dict[str, str] | None:
    """Return the artifact name of each registered file of a version; None for a damaged list."""
    if not isinstance(files, Mapping):
        return None
    if not all(isinstance(entry, Mapping) for entry in files.values()):
        return None
    return {name: f"{unit.folder}/{entry.get('path', name)}" for name, entry in files.items()}
