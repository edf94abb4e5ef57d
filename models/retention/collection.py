"""`luthier gc`: files that no row names, found by comparing the whole store with the rows."""

from collections import defaultdict
from datetime import timedelta
from typing import NamedTuple

from models.retention.remover import Remover
from models.retention.units import TEMPORARY, Unit, unit_of
from models.store.artifacts import Artifacts, StoredFile
from models.store.tables import now


class Garbage(NamedTuple):
    """Files that no row names, and all files of the same unit."""

    unit: Unit | None  # None for leftovers outside of any unit
    files: list[StoredFile]
    among: list[StoredFile]


class Collection:
    """Finds and removes what killed processes have left behind.

    Only names as Luthier makes them are considered: other files below the root are left alone.
    Units of unfinished jobs need all of their files.
    """

    def __init__(self, artifacts: Artifacts, remover: Remover) -> None:
        self._artifacts = artifacts
        self._remover = remover

    def find(self, older_than: float) -> list[Garbage]:
        """Return the files that no row names and that were written `older_than` seconds ago."""
        before = now() - timedelta(seconds=older_than)
        units: dict[Unit, list[StoredFile]] = defaultdict(list)
        loose = []
        for file in self._artifacts.files():
            if unit := unit_of(file.name.rpartition("/")[0]):
                units[unit].append(file)
            elif file.name.endswith(TEMPORARY) and file.modified <= before:
                loose.append(file)
        found = [Garbage(None, loose, loose)] if loose else []
        for unit, files in units.items():
            needs = self._remover.needs_of(unit)
            garbage = [f for f in files if f.name not in needs and f.modified <= before]
            if garbage:
                found.append(Garbage(unit, garbage, files))
        return found

    def remove(self, found: list[Garbage]) -> list[StoredFile]:
        """Remove what `find` has found and no row names even now; return it."""
        removed = []
        for unit, files, among in found:
            if unit is not None:
                names = {file.name for file in files}
                removed += self._remover.remove_found(unit, among, names)
                continue
            for file in files:
                self._artifacts.delete(file.name)
            removed += files
        return removed
