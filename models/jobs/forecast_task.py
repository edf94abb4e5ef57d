"""The forecast of one job: when it is begun beside the trials, and whether it is waited for."""

import logging
from concurrent.futures import Future
from dataclasses import asdict
from typing import Any

from models.jobs.forecast import Actual, make_forecast, request_forecast
from models.jobs.ledger import Ledger
from models.jobs.parts import Parts
from models.jobs.records import Job
from models.jobs.rough_estimate import first_trial_seconds
from models.jobs.search import Search
from models.registry.catalog import artifact_folder

log = logging.getLogger(__name__)

# Trials that are likely to take less come before the forecast, which takes about as long,
_QUICK_SECONDS = 0.3
# and are searched for so long before it is begun. Until then a job may well be over.
_SEARCH_SECONDS = 2.0


class ForecastTask:
    """The forecast of a job as one of its tasks: when it is due, and what becomes of it."""

    def __init__(self, parts: Parts, ledger: Ledger) -> None:
        self._parts, self._ledger = parts, ledger
        self._is_due = False
        self._has_quick_trials = False  # it then comes after some of them, and nobody waits for it
        self.task: Future[Any] | None = None  # while it is being made

    def take_job(self, job: Job) -> None:
        """See whether the job, new or changed, lacks a forecast."""
        wanted = job.forecast is None and self._parts.forecast_seconds > 0
        self._is_due = wanted and job.stop_reason is None

    def search_begins(self, job: Job) -> None:
        """Decide whether it comes before the first trial or after."""
        self._has_quick_trials = False
        if self._is_due and job.dataset is not None:
            record = self._parts.datasets.get(job.dataset)
            self._has_quick_trials = first_trial_seconds(job.spec, record) < _QUICK_SECONDS

    def begin(self, job: Job, searched: float) -> Future[Any] | None:
        """Submit it, if its time has come after so many seconds of searching."""
        if not self._is_due or (self._has_quick_trials and searched < _SEARCH_SECONDS):
            return None
        self._is_due = False
        request = request_forecast(
            job,
            self._ledger.trials() if job.spec.narrow_from is not None else [],
            self._parts.artifacts.root,
            self._parts.trial_slots,
        )
        limit = self._parts.forecast_seconds
        self.task = self._parts.executor.submit(make_forecast, request, limit)
        return self.task

    def take_result(self, job: Job, task: "Future[Any]") -> None:
        """Write it down, if it could be made."""
        self.task = None
        try:
            forecast = asdict(task.result())
        except Exception as error:
            log.warning("no forecast of job %s: %s", job.id, error)
        else:
            self._ledger.set_forecast(forecast)

    def is_awaited(self, job: Job) -> bool:
        """Whether the job ends after it: so that what was foretold stands beside what it took."""
        in_time = not self._has_quick_trials and job.stop_reason != "max_seconds"
        return self.task is not None and in_time

    def actual(self, job: Job, search: Search, version: int, saving_seconds: float) -> Actual:
        """What the job took in the end."""
        assert search.best is not None
        artifacts = self._parts.artifacts
        files = artifacts.size(artifact_folder(job.model, version))
        return Actual(
            seconds=job.seconds,
            saving_seconds=saving_seconds,
            memory_bytes=self._ledger.most_memory(),
            disk_bytes=files + artifacts.size(search.weights_of(search.best)),
        )
