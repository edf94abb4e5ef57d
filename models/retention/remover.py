"""Removal of the files of a unit that no row needs, with what belongs to it."""

from collections.abc import Collection, Sequence
from contextlib import suppress

from sqlalchemy import select, update
from sqlalchemy.exc import DBAPIError

from models.errors import Unavailable
from models.jobs.model import FINAL_STATES
from models.jobs.store.events import EventKind, compact
from models.retention.units import (
    EVERYTHING,
    Needs,
    Room,
    Unit,
    UnitNeeds,
    needs_of_dataset,
    unit_of,
)
from models.store.artifacts import Artifacts, StoredFile
from models.store.engine import Database
from models.store.removals import last_entry, lock_removals, remove_later, take_off
from models.store.tables import datasets, jobs


class Remover:
    """Compares units with the rows and removes the files that these do not need.

    Every method may be repeated, and called by several processes at once.
    """

    def __init__(self, database: Database, artifacts: Artifacts, weights_days: float = 0.0) -> None:
        self._database = database
        self._artifacts = artifacts
        self._needs = UnitNeeds(database, weights_days)

    def remove_now(self, names: Sequence[str]) -> None:
        """Remove the files of folders that were listed just now, as far as the store answers.

        They stay listed: a process that does not know yet that it was replaced may write more.
        """
        with suppress(Unavailable, DBAPIError):
            for name in names:
                if unit := unit_of(name):
                    self._remove(unit)

    def settle(self, name: str) -> None:
        """Remove what is not needed in a listed folder, and take it off the list.

        The events of an ended job are compacted, and the bytes counted that a job or dataset keeps.
        Raises Unavailable where the store does not answer; the folder then stays listed.
        """
        self._artifacts.check()  # a folder that is away would look as if it were empty
        with self._database.read() as connection:
            last = last_entry(connection, name)
        unit = unit_of(name)
        needs, kept = (EVERYTHING, 0) if unit is None else self._remove(unit)
        with self._database.write() as connection:
            take_off(connection, name, last)
            if unit is None or needs.is_held:
                return
            if unit.room is Room.JOBS:
                query = select(jobs.c.spec).where(
                    jobs.c.id == unit.id, jobs.c.state.in_(FINAL_STATES)
                )
                row = connection.execute(query.with_for_update()).one_or_none()
                if row is not None:
                    compact(connection, unit.id, row.spec, [EventKind.EPOCH])
                    change = update(jobs).where(jobs.c.id == unit.id)
                    connection.execute(change.values(bytes=kept))
            elif unit.room is Room.DATASETS:
                change = update(datasets).where(datasets.c.id == unit.id)
                connection.execute(change.values(bytes=kept))

    def remove_found(
        self, unit: Unit, files: Sequence[StoredFile], candidates: Collection[str]
    ) -> list[StoredFile]:
        """Remove those candidates that no row needs now, and return them.

        `files` are all files of the unit as it was listed, `candidates` the names of some.
        """
        if unit.room is not Room.DATASETS:
            return self._delete(files, self._needs.of(unit), candidates)
        with self._database.write() as connection:
            remove_later(connection, [unit.folder])  # what whoever stores it again waits for
        removed = self._remove_from_dataset(unit, candidates)[2]
        with self._database.write() as connection:
            take_off(connection, unit.folder, last_entry(connection, unit.folder))
        return removed

    def needs_of(self, unit: Unit) -> Needs:
        """Return what a unit needs now."""
        return self._needs.of(unit)

    def _remove(self, unit: Unit) -> tuple[Needs, int]:
        """Remove what a unit does not need; return what it needs, and the bytes that stay."""
        if unit.room is Room.DATASETS:
            needs, kept, _ = self._remove_from_dataset(unit)
            return needs, kept
        # Listed first: what is written after the rows were read is not touched.
        files = self._artifacts.files(unit.folder)
        needs = self._needs.of(unit)
        return needs, _bytes(files) - _bytes(self._delete(files, needs))

    def _remove_from_dataset(
        self, unit: Unit, candidates: Collection[str] | None = None
    ) -> tuple[Needs, int, list[StoredFile]]:
        """Do the same where a unit of the same name may be stored again at any time.

        Whoever stores a dataset waits for the lock, and looks afterwards whether its files are
        there. The store is tested before, so that nobody waits for one that does not answer.
        """
        self._artifacts.check()
        with self._database.write() as connection:
            lock_removals(connection, unit.folder)
            files = self._artifacts.files(unit.folder)
            needs = needs_of_dataset(connection, unit)
            removed = self._delete(files, needs, candidates)
        return needs, _bytes(files) - _bytes(removed), removed

    def _delete(
        self,
        files: Sequence[StoredFile],
        needs: Needs,
        candidates: Collection[str] | None = None,
    ) -> list[StoredFile]:
        """Delete the files that are not needed, or the candidates among them; return these."""
        removed = [
            file
            for file in files
            if file.name not in needs and (candidates is None or file.name in candidates)
        ]
        going = {file.name for file in removed}
        kept = {_folder(file.name) for file in files if file.name not in going}
        # A folder with nothing else in it goes as a whole, so that no empty one stays.
        for name in sorted({name if _folder(name) in kept else _folder(name) for name in going}):
            self._artifacts.delete(name)
        return removed


def _folder(name: str) -> str:
    return name.rpartition("/")[0]


def _bytes(files: Sequence[StoredFile]) -> int:
    return sum(file.bytes for file in files)
