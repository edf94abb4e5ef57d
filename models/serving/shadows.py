"""Versions that compute what another has answered, for comparison only."""

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from threading import Lock
from typing import Any

from models.serving.engine import Prediction

MAX_ROWS = 1000  # that wait; a request of more is taken only while nothing waits

log = logging.getLogger(__name__)


class Outcome(StrEnum):
    """What became of a request for a shadow."""

    COMPARED = "compared"
    FAILED = "failed"
    DROPPED = "dropped"  # too many rows were waiting


@dataclass(frozen=True, slots=True)
class ShadowResult:
    """A request that a shadow computed, or did not."""

    model: str
    version: int  # the shadow
    outcome: Outcome
    rows: int = 0  # that were compared
    differing: int = 0  # rows of another class
    difference: float = 0.0  # sum of absolute differences, of a regression


class Shadows:
    """Lets shadows compute in one thread, which no answer waits for.

    `count` gets the result of each request.
    """

    def __init__(self, count: Callable[[ShadowResult], None]) -> None:
        self._count = count
        self._lock = Lock()
        self._waiting = 0  # rows
        self._failing: set[tuple[str, int]] = set()
        self._thread = ThreadPoolExecutor(1, "shadow")

    def compare(self, answer: Prediction, shadow: int, predict: Callable[[], Prediction]) -> None:
        """Have `predict` compute, later, the rows of an answer by the version `shadow`."""
        rows = len(answer.predictions)
        with self._lock:
            is_taken = not self._waiting or self._waiting + rows <= MAX_ROWS
            self._waiting += rows if is_taken else 0
        if is_taken:
            self._thread.submit(self._run, answer, shadow, predict)
        else:
            self._count(ShadowResult(answer.model, shadow, Outcome.DROPPED))

    def _run(self, answer: Prediction, shadow: int, predict: Callable[[], Prediction]) -> None:
        try:
            result = compared(answer, predict())
            self._failing.discard((answer.model, shadow))
        except Exception as error:  # whatever it is, it is not the client's concern
            result = ShadowResult(answer.model, shadow, Outcome.FAILED)
            self._tell(answer.model, shadow, error)
        finally:
            with self._lock:
                self._waiting -= len(answer.predictions)
        self._count(result)

    def _tell(self, model: str, shadow: int, error: Exception) -> None:
        """Log the first of failures in a row."""
        if (model, shadow) not in self._failing:
            self._failing.add((model, shadow))
            log.warning("shadow %d of model %r fails: %s", shadow, model, error)


def compared(answer: Prediction, shadow: Prediction) -> ShadowResult:
    """Return how the predictions of a shadow differ from those that were sent."""
    pairs: list[tuple[Any, Any]] = list(zip(answer.predictions, shadow.predictions, strict=True))
    model, version, rows = answer.model, shadow.version, len(pairs)
    if answer.classes is None and shadow.classes is None:
        difference = sum(abs(one - other) for one, other in pairs)
        return ShadowResult(model, version, Outcome.COMPARED, rows, difference=difference)
    differing = sum(one != other for one, other in pairs)
    return ShadowResult(model, version, Outcome.COMPARED, rows, differing=differing)
