"""Deletion as users ask for it: rows in one transaction, files as soon as the store answers."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from sqlalchemy import func, select

from models.batches.catalog import BatchCatalog
from models.batches.model import artifact_folder as batch_folder
from models.data.library.catalog import DatasetCatalog
from models.data.library.catalog import artifact_folder as dataset_folder
from models.errors import Conflict, NotFound
from models.jobs.commands import JobCommands
from models.jobs.model import FINAL_STATES, JobState
from models.jobs.store.labels import with_tags
from models.registry.catalog.catalog import artifact_folder as version_folder
from models.registry.catalog.catalog import log_folder
from models.registry.catalog.removal import ModelRemoval
from models.retention.remover import Remover
from models.store.audit import carrying_out_for
from models.store.engine import Database
from models.store.tables import datasets, jobs

DELETABLE = (*FINAL_STATES, JobState.QUEUED)  # states of jobs that may be deleted


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which jobs to delete: ended ones, or those of a state; every field that is given counts."""

    state: JobState | None = None
    before: datetime | None = None  # when it ended, or was created if it has not ended
    model: str | None = None
    tags: tuple[str, ...] = ()  # all of them


@dataclass(slots=True)
class Deleted:
    """The result of a deletion by filter."""

    ids: list[str] = field(default_factory=list)
    kept: dict[str, str] = field(default_factory=dict)  # why others that match were not deleted
    dry_run: bool = False

    @property
    def count(self) -> int:
        """Return how many were deleted, or would be."""
        return len(self.ids)


class Deletion:
    """Deletes jobs, datasets, batches, models, versions and aliases.

    A store that does not answer fails no call: the files are removed later.
    """

    def __init__(self, database: Database, commands: JobCommands, remover: Remover) -> None:
        self._database = database
        self._commands = commands
        self._datasets = DatasetCatalog(database)
        self._batches = BatchCatalog(database)
        self._models = ModelRemoval(database)
        self._remover = remover

    def job(self, job: str, *, dry_run: bool = False) -> None:
        """Delete a job, or only see whether it may go; raises as `JobCommands.delete`."""
        self._commands.delete(job, dry_run=dry_run)

    def dataset(self, dataset: str, *, dry_run: bool = False) -> None:
        """Delete a dataset, or only see whether it may go; raises as `DatasetCatalog.remove`."""
        self._datasets.remove(dataset, dry_run=dry_run)
        if not dry_run:
            self._remover.remove_now([dataset_folder(dataset)])

    def version(self, model: str, version: int) -> None:
        """Delete a version; raises as `ModelRemoval.remove_version`."""
        self._models.remove_version(model, version)
        self._remover.remove_now([version_folder(model, version)])

    def model(self, model: str) -> None:
        """Delete a model with its aliases, versions and batches; NotFound if there is none."""
        numbers, gone = self._models.remove_model(model)
        folders = [version_folder(model, number) for number in numbers]
        self._remover.remove_now([*folders, *gone, log_folder(model)])

    def batch(self, batch: str) -> None:
        """Delete a batch that has ended, with its result; raises as `BatchCatalog.remove`."""
        self._batches.remove(batch)
        self._remover.remove_now([batch_folder(batch)])

    def alias(self, model: str, alias: str) -> None:
        """Delete an alias; NotFound if there is none."""
        self._models.remove_alias(model, alias)

    def jobs(self, wanted: JobFilter, limit: int, *, dry_run: bool = False) -> Deleted:
        """Delete up to `limit` jobs that match, those that ended first before others."""
        ended = func.coalesce(jobs.c.finished, jobs.c.created)
        states = FINAL_STATES if wanted.state is None else (wanted.state,)
        query = select(jobs.c.id).where(jobs.c.state.in_(states)).order_by(ended, jobs.c.id)
        if wanted.before is not None:
            query = query.where(ended < wanted.before)
        if wanted.model is not None:
            query = query.where(jobs.c.model == wanted.model)
        query = query.where(*with_tags(wanted.tags))
        with self._database.read() as connection:
            found = connection.execute(query).scalars().all()
        return _delete_each(found, partial(self.job, dry_run=dry_run), limit, dry_run)

    def datasets(
        self, before: datetime | None, limit: int, *, unused: bool = False, dry_run: bool = False
    ) -> Deleted:
        """Delete up to `limit` datasets, the oldest first.

        `before` is a limit of when they were stored; `unused` ones are named by no job.
        """
        query = select(datasets.c.id).order_by(datasets.c.created, datasets.c.id)
        if before is not None:
            query = query.where(datasets.c.created < before)
        with self._database.read() as connection:
            found: Sequence[str] = connection.execute(query).scalars().all()
        if unused:
            free = set(self._datasets.unused())
            found = [dataset for dataset in found if dataset in free]
        return _delete_each(found, partial(self.dataset, dry_run=dry_run), limit, dry_run)


def _delete_each(
    found: Iterable[str], delete: Callable[[str], None], limit: int, dry_run: bool
) -> Deleted:
    """Delete one after the other, each in a transaction of its own, until `limit` are gone."""
    deleted = Deleted(dry_run=dry_run)
    for name in found:
        if deleted.count == limit:
            break
        try:
            with carrying_out_for(name):
                delete(name)
            deleted.ids.append(name)
        except Conflict as conflict:
            deleted.kept[name] = str(conflict)
        except NotFound:
            continue  # deleted by somebody else meanwhile
    return deleted
