"""Results that are made once for the same content, and kept in memory while they are asked for."""

import hashlib
import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import fields
from typing import Any, TypeVar

from models.jobs.model import Outcome
from models.reports.job_report import JobReport, Missing

MAX_BYTES = 32 << 20  # of one process
_ENTRY = 2048  # bytes that an entry counts beside its content

Result = TypeVar("Result")


class ResultCache:
    """Results by what they follow from; those not asked for longest go first. Thread-safe.

    A key holds a digest of all that its result follows from: other content has another key, so no
    result is ever out of date, whichever process wrote the content. One result is made at a time.
    """

    def __init__(self, limit: int = MAX_BYTES) -> None:
        self._limit = limit
        self._results: OrderedDict[Hashable, Any] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()
        self._making = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], Result]) -> Result:
        """Return the result of `key`, made by `make` if there is none; a failure is not kept."""
        found = self._find(key)
        if found is None:
            with self._making:
                found = self._find(key) or self._put(key, make())
        result: Result = found[0]
        return result

    def _find(self, key: Hashable) -> tuple[Any] | None:
        with self._lock:
            if key not in self._results:
                return None
            self._results.move_to_end(key)
            return (self._results[key],)

    def _put(self, key: Hashable, made: Any) -> tuple[Any]:
        with self._lock:
            self._results[key] = made
            self._bytes += _size(made)
            while self._bytes > self._limit:
                _, gone = self._results.popitem(last=False)
                self._bytes -= _size(gone)
        return (made,)


def _size(result: object) -> int:
    return _ENTRY + (len(result) if isinstance(result, bytes) else 0)


def digest_of_trials(outcomes: Sequence[Outcome]) -> str:
    """Return a digest of the trials of a job, in their order."""
    names = [item.name for item in fields(Outcome)]
    return _digest([[getattr(outcome, name) for name in names] for outcome in outcomes])


def digest_of_report(report: JobReport) -> str:
    """Return a digest of all that the figures of a report show."""
    leaders = [[trial.number, trial.score, trial.epochs, trial.result] for trial in report.leaders]
    version: list[Any] = []
    if not isinstance(report.version, Missing):
        shown = report.version
        version = [shown.version, shown.column_importance, shown.partial_dependence]
    trials = digest_of_trials(report.outcomes)
    return _digest([report.job.document, trials, leaders, report.answers, version])


def _digest(document: Any) -> str:
    # Times and missing parts, which JSON does not have, count as they are shown.
    return hashlib.sha256(json.dumps(document, default=repr).encode()).hexdigest()
