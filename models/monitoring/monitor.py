"""What the versions of a model do in production, put together for people and dashboards."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, select

from models.errors import NotFound, Unavailable
from models.monitoring.drift import UNKNOWN, Drift, measure_drift
from models.monitoring.feedback import Feedback, LiveScore
from models.monitoring.figures import Figures
from models.monitoring.storage import Period, read_figures
from models.registry.catalog.catalog import ModelCatalog
from models.registry.catalog.records import ModelRecord, VersionRecord
from models.registry.documents import Figures as Scores
from models.registry.profile import TrainedColumn
from models.store.engine import Database, moment
from models.store.tables import feedback

Profile = Sequence[TrainedColumn]


@dataclass(frozen=True, slots=True)
class VersionMonitor:
    """One version that answered, or had feedback, within the time."""

    version: int
    aliases: tuple[str, ...]
    first: datetime | None  # beginning of the minute of the first request
    rate: float  # requests a second since then
    figures: Figures
    live_score: LiveScore | None
    test_score: Scores | None  # of the version when it was made; None without test rows
    drift: Drift


@dataclass(frozen=True, slots=True)
class ModelMonitor:
    """All versions of a model that answered, the newest first."""

    model: ModelRecord
    since: datetime
    until: datetime
    verdict: str  # on the champion's rows
    versions: tuple[VersionMonitor, ...]


class Monitor:
    """Reads figures, feedback and profiles."""

    def __init__(
        self,
        database: Database,
        catalog: ModelCatalog,
        scores: Feedback,
        profile_of: Callable[[str, int], Profile | None],
    ) -> None:
        self._database = database
        self._catalog = catalog
        self._scores = scores
        self._profile_of = profile_of

    def report(self, model: str, hours: float) -> ModelMonitor:
        """Return what the versions of a model did in the last `hours`; raises NotFound."""
        record = self._catalog.model(model)
        with self._database.read() as connection:
            until = moment(connection)
            since = until - timedelta(hours=hours)
            periods = read_figures(connection, model, since)
            scored = _scored(connection, model, since)
        versions = []
        for number in sorted({*periods, *scored}, reverse=True):
            with suppress(NotFound):  # it was deleted
                version = self._catalog.version(model, number)
                score = self._scores.score(model, number, since)
                versions.append(self._version(version, periods.get(number), score, until))
        champion = record.aliases.get("champion")
        verdict = next(
            (found.drift.verdict for found in versions if found.version == champion),
            "no predictions",
        )
        return ModelMonitor(record, since, until, verdict, tuple(versions))

    def _version(
        self,
        record: VersionRecord,
        period: Period | None,
        score: LiveScore | None,
        until: datetime,
    ) -> VersionMonitor:
        figures = Figures() if period is None else period.figures
        first = None if period is None else period.first
        seconds = 1.0 if first is None else max(1.0, (until - first).total_seconds())
        try:
            profile = self._profile_of(record.model, record.version)
            drift = measure_drift(profile, figures.columns, figures.observed)
        except Unavailable:  # nothing else needs the artifact root
            drift = Drift(figures.observed, UNKNOWN)
        return VersionMonitor(
            version=record.version,
            aliases=record.aliases,
            first=first,
            rate=figures.requests / seconds,
            figures=figures,
            live_score=score,
            test_score=record.metrics,
            drift=drift,
        )


def _scored(connection: Connection, model: str, since: datetime) -> list[int]:
    """Return the versions of a model that had feedback."""
    query = select(feedback.c.version).distinct()
    query = query.where(feedback.c.model == model, feedback.c.received >= since)
    return list(connection.execute(query).scalars())
