"""`luthier fsck`: rows whose files are missing or are not those that were written."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, select

from models.batches.model import result_name
from models.data.library.catalog import artifact_folder as dataset_folder
from models.data.library.sources import load_source, read_source
from models.data.library.storage import read_dataset
from models.errors import ArtifactError, Unreadable
from models.jobs.model import FINAL_STATES
from models.retention.units import Room, Unit, UnitNeeds, registered_names
from models.store.artifacts import Artifacts
from models.store.engine import Database
from models.store.tables import batches, datasets, jobs, versions
from models.trials.run import load_weights


@dataclass(frozen=True, slots=True)
class Fault:
    """A row of which a file is missing, changed or unreadable."""

    kind: str  # `dataset`, `source`, `version`, `batch` or `weights`
    name: str  # of the file below the artifact root, or of its folder
    message: str


class Integrity:
    """Reads every file that a row names and compares it with what was registered.

    A dataset's id is the digest of its rows; versions, sources and results have an SHA-256. Weights
    have none: their checksums within the file, and the bytes that were counted, are compared.
    """

    def __init__(self, database: Database, artifacts: Artifacts) -> None:
        self._database = database
        self._artifacts = artifacts
        self._needs = UnitNeeds(database)

    def faults(self) -> Iterator[Fault]:
        """Yield what is wrong; rows that are deleted meanwhile are left out."""
        checks: list[tuple[Any, Callable[[Row[Any]], Iterator[Fault]]]] = [
            (select(datasets.c.id, datasets.c.source), self._check_dataset),
            (
                select(versions.c.model, versions.c.version, versions.c.files).where(
                    versions.c.ready
                ),
                self._check_version,
            ),
            (
                select(batches.c.id, batches.c.sha256).where(batches.c.sha256.is_not(None)),
                self._check_batch,
            ),
            (
                select(jobs.c.id, jobs.c.bytes).where(
                    jobs.c.state.in_(FINAL_STATES), jobs.c.bytes > 0
                ),
                self._check_weights,
            ),
        ]
        for query, check in checks:
            with self._database.read() as connection:
                rows = connection.execute(query).all()
            for row in rows:
                faults = list(check(row))
                if faults and self._is_there(query, row):
                    yield from faults

    def _is_there(self, query: Any, row: Row[Any]) -> bool:
        """Return whether a row is still as it was read."""
        columns = zip(query.selected_columns, row, strict=True)
        keys = [column == value for column, value in columns if column.name not in _DOCUMENTS]
        with self._database.read() as connection:
            return connection.execute(query.where(*keys)).first() is not None

    def _check_dataset(self, row: Row[Any]) -> Iterator[Fault]:
        folder = dataset_folder(row.id)
        try:
            digest = read_dataset(self._artifacts, row.id).digest()
            if digest != row.id:
                yield Fault("dataset", folder, f"Its rows have changed: their digest is {digest}.")
        except (ArtifactError, Unreadable) as error:
            yield Fault("dataset", folder, str(error))
        source = load_source(row.source)
        if source is None:
            return
        try:
            read_source(self._artifacts, source.stored_name(row.id), source)
        except ArtifactError as error:
            yield Fault("source", source.stored_name(row.id), str(error))

    def _check_version(self, row: Row[Any]) -> Iterator[Fault]:
        unit = Unit(Room.MODELS, row.model, row.version)
        names = registered_names(unit, row.files)
        if names is None:
            yield Fault("version", unit.folder, "The list of its files cannot be read.")
            return
        for file, name in names.items():
            try:
                self._artifacts.read_checked(name, str(row.files[file].get("sha256")))
            except ArtifactError as error:
                yield Fault("version", name, str(error))

    def _check_batch(self, row: Row[Any]) -> Iterator[Fault]:
        name = result_name(row.id, row.sha256)
        try:
            with self._artifacts.open(name) as file:
                reader: Any = file
                digest = hashlib.file_digest(reader, "sha256").hexdigest()
            if digest != row.sha256:
                yield Fault("batch", name, f"The result has changed: its SHA-256 is {digest}.")
        except ArtifactError as error:
            yield Fault("batch", name, str(error))

    def _check_weights(self, row: Row[Any]) -> Iterator[Fault]:
        unit = Unit(Room.JOBS, row.id)
        needs = self._needs.of(unit)
        if needs.is_held:
            return  # it goes on
        files = [file for file in self._artifacts.files(unit.folder) if file.name in needs]
        if sum(file.bytes for file in files) != row.bytes:
            yield Fault(
                "weights", unit.folder, f"There were {row.bytes:,} bytes; that has changed."
            )
        for file in files:
            try:
                load_weights(self._artifacts, file.name)
            except ArtifactError as error:
                yield Fault("weights", file.name, str(error))


_DOCUMENTS = {"files", "source"}  # columns of JSON, which are not compared
