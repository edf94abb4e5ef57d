"""What the settings let go: jobs, versions, batches, events and weights, by age and number."""

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, delete, exists, select

from models.batches.model import FINAL_STATES as BATCH_ENDS
from models.errors import Conflict, NotFound
from models.jobs.model import FINAL_STATES
from models.jobs.store.events import EventKind, compact
from models.jobs.store.unit_of_work import artifact_folder as job_folder
from models.monitoring.log import DEFAULT_KEEP_DAYS, drop_old_files
from models.monitoring.storage import drop_old, fold_figures
from models.registry.catalog.aliases import routes
from models.retention.deletion import Deletion, JobFilter
from models.settings import Settings
from models.store.artifacts import Artifacts
from models.store.engine import Database
from models.store.removals import remove_later
from models.store.tables import (
    audit,
    batches,
    datasets,
    events,
    jobs,
    model_settings,
    now,
    versions,
)

_AT_ONCE = 100  # jobs or datasets of one sweep and rule; the next goes on
_LOGS_EVERY = 3600.0  # seconds between two looks at the files of logs, which may be many

log = logging.getLogger(__name__)


class Rules:
    """Applies the settings `keep_…`; each is a number of days or versions, 0 for all."""

    def __init__(
        self, database: Database, artifacts: Artifacts, deletion: Deletion, settings: Settings
    ) -> None:
        self._database = database
        self._artifacts = artifacts
        self._logs_due = 0.0  # by the monotonic clock
        self._deletion = deletion
        self._settings = settings

    def apply(self) -> None:
        """Delete what is too old or too much, in many short transactions."""
        self._delete_jobs()
        self._delete_versions()
        self._delete_batches()
        self._drop_events()
        self._list_weights()
        self._list_uncounted()
        self._drop_audit()
        self._drop_monitoring()

    def _delete_jobs(self) -> None:
        days = self._settings.keep_jobs_days
        if days:
            deleted = self._deletion.jobs(JobFilter(before=_ago(days)), _AT_ONCE)
            if deleted.ids:
                log.info("deleted jobs that ended %g days ago: %s", days, ", ".join(deleted.ids))
        if most := self._settings.keep_jobs:
            for job in self._ended_before(most):
                with suppress(Conflict, NotFound):  # narrowed by another, or deleted just now
                    self._deletion.job(job)
                    log.info("deleted job %s, which is not among the newest %d", job, most)

    def _ended_before(self, newest: int) -> Sequence[str]:
        """Return some ended jobs other than the `newest` ones."""
        query = (
            select(jobs.c.id)
            .where(jobs.c.state.in_(FINAL_STATES))
            .order_by(jobs.c.finished.desc(), jobs.c.id)
            .offset(newest)
            .limit(_AT_ONCE)
        )
        with self._database.read() as connection:
            return connection.execute(query).scalars().all()

    def _delete_versions(self) -> None:
        for model, version in self._old_versions():
            try:
                self._deletion.version(model, version)
            except (Conflict, NotFound):
                continue  # an alias was pointed at it, or it was deleted, just now
            log.info("deleted version %s of model %s, which is too old", version, model)

    def _delete_batches(self) -> None:
        """Delete batches that ended long ago, with their results."""
        days = self._settings.keep_batches_days
        if not days:
            return
        query = (
            select(batches.c.id)
            .where(batches.c.state.in_(BATCH_ENDS), batches.c.finished < _ago(days))
            .order_by(batches.c.finished)
            .limit(_AT_ONCE)
        )
        with self._database.read() as connection:
            found = list(connection.execute(query).scalars())
        for batch in found:
            with suppress(NotFound):  # deleted just now
                self._deletion.batch(batch)
                log.info("deleted batch %s, which ended %g days ago", batch, days)

    def _old_versions(self) -> Iterator[tuple[str, int]]:
        """Yield the versions without an alias that are too old, or beyond the number to keep."""
        most, days = self._settings.keep_versions, self._settings.keep_versions_days
        if not most and not days:
            return
        query = (
            select(versions.c.model, versions.c.version, versions.c.created)
            .where(versions.c.ready)
            .order_by(versions.c.model, versions.c.version.desc())
        )
        with self._database.read() as connection:
            rows = connection.execute(query).all()
            named = {
                (model, version)
                for model, _, route in routes(connection)
                for version in route.versions
            }
        seen: dict[str, int] = defaultdict(int)
        for row in rows:
            if (row.model, row.version) in named:
                continue
            seen[row.model] += 1
            is_too_many = bool(most) and seen[row.model] > most
            if is_too_many or (days and row.created < _ago(days)):
                yield row.model, row.version

    def _drop_events(self) -> None:
        """Remove all events but the changes of state from jobs that ended long ago."""
        days = self._settings.keep_events_days
        if not days:
            return
        has_some = exists().where(events.c.job == jobs.c.id, events.c.kind == EventKind.TRIAL)
        for job in self._ended(and_(jobs.c.finished < _ago(days), has_some)):
            with self._database.write() as connection:
                query = select(jobs.c.spec).where(jobs.c.id == job, jobs.c.state.in_(FINAL_STATES))
                row = connection.execute(query.with_for_update()).one_or_none()
                if row is not None:
                    compact(connection, job, row.spec, [EventKind.TRIAL, EventKind.EPOCH])

    def _list_weights(self) -> None:
        """List the folders of jobs whose weights are too old; the remover then drops them."""
        days = self._settings.keep_weights_days
        if days:
            self._list(
                self._ended(and_(jobs.c.finished < _ago(days), jobs.c.bytes > 0)), job_folder
            )

    def _drop_audit(self) -> None:
        if days := self._settings.keep_audit_days:
            with self._database.write() as connection:
                connection.execute(delete(audit).where(audit.c.time < _ago(days)))

    def _drop_monitoring(self) -> None:
        """Delete old figures, feedback and logs; of figures of minutes keep those of hours."""
        fold_figures(self._database)
        if days := self._settings.keep_monitoring_days:
            drop_old(self._database, _ago(days))
        if time.monotonic() < self._logs_due:
            return
        self._logs_due = time.monotonic() + _LOGS_EVERY
        query = select(model_settings.c.model, model_settings.c.prediction_log)
        with self._database.read() as connection:
            kept = {row.model: row.prediction_log for row in connection.execute(query)}
        drop_old_files(
            self._artifacts,
            lambda model: float((kept.get(model) or {}).get("keep_days", DEFAULT_KEEP_DAYS)),
        )

    def _list_uncounted(self) -> None:
        """List datasets whose bytes were not counted yet."""
        query = select(datasets.c.id).where(datasets.c.bytes.is_(None)).limit(_AT_ONCE)
        with self._database.read() as connection:
            found = list(connection.execute(query).scalars())
        self._list(found, "datasets/{}".format)

    def _ended(self, condition: ColumnElement[bool]) -> list[str]:
        """Return some ended jobs that fulfil a condition, the oldest first."""
        query = (
            select(jobs.c.id)
            .where(jobs.c.state.in_(FINAL_STATES), condition)
            .order_by(jobs.c.finished)
            .limit(_AT_ONCE)
        )
        with self._database.read() as connection:
            return list(connection.execute(query).scalars())

    def _list(self, names: list[str], folder: Callable[[str], str]) -> None:
        with self._database.write() as connection:
            remove_later(connection, map(folder, names))


def _ago(days: float) -> datetime:
    return now() - timedelta(days=days)
