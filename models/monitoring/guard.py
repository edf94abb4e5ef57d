"""The guard of a model: limits that move `champion` back to the version before."""

import logging
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, func, select

from models.data.datetimes import format_rfc3339
from models.data.preparation.tasks import Task
from models.errors import Conflict, Invalid, NotFound
from models.monitoring.feedback import Feedback, LiveScore
from models.monitoring.figures import Figures
from models.monitoring.storage import read_figures
from models.registry.catalog.aliases import CHAMPION, AliasMove, list_moves, route_of
from models.registry.catalog.catalog import ModelCatalog
from models.store.audit import Actor, Command, carrying_out
from models.store.engine import Database, moment
from models.store.tables import feedback, model_settings
from models.trials.spec import METRICS

ACTOR = Actor("luthier guard")
OPERATION = "rollBack"  # as in the audit log
_MOVES = 50  # of an alias that are looked back on

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Limits:
    """What the champion's figures may be; None and nothing are no limit."""

    min_requests: int  # that have to be counted first, or rows scored
    minutes: float  # of the past that count, at most since the promotion
    error_rate: float | None = None
    latency_ms: float | None = None  # of the 99th percentile
    live_score: Mapping[str, Mapping[str, float]] | None = None  # by metric: `min` or `max`

    def broken(self, figures: Figures, score: LiveScore | None) -> list[str]:
        """Say which limits these figures break, in words."""
        found = []
        if figures.requests >= self.min_requests:
            rate, latency = figures.error_rate, figures.latency_ms["p99"]
            counted = f"of {figures.requests} requests"
            if self.error_rate is not None and rate is not None and rate > self.error_rate:
                found.append(f"the error rate {rate:.3g} is above {self.error_rate:g} {counted}")
            if self.latency_ms is not None and latency is not None and latency > self.latency_ms:
                found.append(
                    f"the 99th percentile of the latency, {latency:.3g} ms, is above"
                    f" {self.latency_ms:g} ms {counted}"
                )
        if score is not None and score.metrics and score.rows >= self.min_requests:
            found += self._bad_scores(score)
        return found

    def _bad_scores(self, score: LiveScore) -> Iterable[str]:
        for metric, bounds in (self.live_score or {}).items():
            value = (score.metrics or {}).get(metric)
            if value is None:
                continue
            counted = f"on {score.rows} rows with a true value"
            if "max" in bounds and value > bounds["max"]:
                yield f"the live {metric} {value:.4g} is above {bounds['max']:g} {counted}"
            if "min" in bounds and value < bounds["min"]:
                yield f"the live {metric} {value:.4g} is below {bounds['min']:g} {counted}"


class Guard:
    """Compares champions with the limits of their models and moves the alias back.

    It judges the versions that a job, a user or a rollback of a user has let answer, alone or by a
    weight, as long as that was the last move. What it went back to itself is not judged.
    Several processes may judge at once: the alias is locked, and moves only if the judged version
    still answers.
    """

    def __init__(self, database: Database, catalog: ModelCatalog, scores: Feedback) -> None:
        self._database = database
        self._catalog = catalog
        self._scores = scores
        # By version: the newest feedback, the move and the limits that were last judged.
        self._judged: dict[tuple[str, int], tuple[int | None, int, Limits]] = {}

    def check(self, models: Iterable[str]) -> None:
        """Judge the champions of those models that have limits."""
        query = select(model_settings.c.model, model_settings.c.rollback_when).where(
            model_settings.c.model.in_(sorted(models)), model_settings.c.rollback_when.is_not(None)
        )
        with self._database.read() as connection:
            guarded = connection.execute(query).all()
        for row in guarded:
            self._check_model(row.model, Limits(**row.rollback_when))

    def _check_model(self, model: str, limits: Limits) -> None:
        with self._database.read() as connection:
            move, versions = _promotion(connection, model)
            if move is None:
                return
            since = max(move.created, moment(connection) - timedelta(minutes=limits.minutes))
            periods = {
                version: read_figures(connection, model, since, version).get(version)
                for version in versions
            }
        for version, period in periods.items():
            figures = Figures() if period is None else period.figures
            score = None
            if limits.live_score and self._has_news(model, version, move, limits):
                with suppress(NotFound):  # deleted just now
                    score = self._scores.score(model, version, since)
            if reasons := limits.broken(figures, score):
                self._move_back(model, version, reasons, since)
                return

    def _has_news(self, model: str, version: int, move: AliasMove, limits: Limits) -> bool:
        """Return whether there is feedback, or are limits, that were not judged before.

        A score over thousands of rows takes too long to be made every two seconds.
        """
        query = select(func.max(feedback.c.id)).where(
            feedback.c.model == model, feedback.c.version == version
        )
        with self._database.read() as connection:
            found = (connection.execute(query).scalar_one(), move.id, limits)
        name = (model, version)
        before, self._judged[name] = self._judged.get(name), found
        return before != found

    def _move_back(self, model: str, version: int, reasons: list[str], since: datetime) -> None:
        text = f"The guard moved it back from version {version}: {'; '.join(reasons)}, since"
        reason = f"{text} {format_rfc3339(since.timestamp())}."
        with carrying_out(Command(ACTOR, OPERATION, "model", model)):
            try:
                earlier = self._catalog.rollback(model, version, reason)
            except (Conflict, NotFound) as error:
                log.info("the guard of model %s moves nothing: %s", model, error)
                return
        log.warning("model %s: %s The champion is %s now.", model, reason, earlier)


def check_metrics(limits: Mapping[str, Any], task: str) -> None:
    """Raise Invalid for a metric that the task has not, or whose better side is the other one."""
    errors = {}
    known = METRICS[Task(task)]
    for metric, bounds in (limits.get("live_score") or {}).items():
        if metric not in known or metric == "loss":
            names = ", ".join(name for name in known if name != "loss")
            errors[metric] = [f"Is no metric of a {task} task; use one of: {names}."]
            continue
        bound = "max" if known[metric] == "min" else "min"
        if set(bounds) != {bound}:
            errors[metric] = [f"Give {bound!r}: that is the worse side of {metric}."]
    if errors:
        raise Invalid(errors).under("rollback_when.live_score")


def _promotion(connection: Connection, model: str) -> tuple[AliasMove | None, list[int]]:
    """Return the last move of the champion, and the versions that have come to answer by it.

    With weights, these are the versions beside the one that last answered alone. None if it is the
    first champion, the guard's own, or no champion.
    """
    route = route_of(connection, model, CHAMPION)
    moves = list_moves(connection, model, CHAMPION, _MOVES)
    if route is None or not moves or moves[0].previous is None or moves[0].actor == ACTOR.name:
        return None, []
    alone = (move.version for move in moves[1:] if move.weights is None)
    is_shared = len(route.weights) > 1
    before = next((version for version in alone if is_shared or version not in route.weights), None)
    if before is None:
        return None, []
    return moves[0], [version for version in sorted(route.weights) if version != before]
