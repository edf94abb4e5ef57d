"""Forecasts of jobs that were not started, for dry runs."""

import importlib.util
import threading
from collections.abc import Iterator
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import contextmanager
from dataclasses import dataclass

from models.data.library.builtin import PREFIX as BUILTIN_PREFIX
from models.data.library.catalog import DatasetCatalog
from models.executors.executor import Executor
from models.jobs.forecast.model import Forecast, ForecastRequest
from models.jobs.submission import Decision
from models.settings import Settings

IDLE_SECONDS = 120.0  # after which the process is ended


@dataclass(frozen=True, slots=True)
class Outlook:
    """A forecast, or why there is none."""

    forecast: Forecast | None
    missing: str | None = None


class Forecaster:
    """Keeps one trial process of its own, like a worker's, from the first question on.

    Its start takes some seconds, which the first question waits for. Thread-safe; questions asked
    together wait for each other.
    """

    def __init__(self, settings: Settings, datasets: DatasetCatalog) -> None:
        self._settings = settings
        self._datasets = datasets
        self._lock = threading.Lock()
        self._executor: Executor | None = None
        self._asking = 0
        self._closing: threading.Timer | None = None

    def forecast(self, decision: Decision) -> Outlook:
        """Forecast the job of `decision` on this machine."""
        limit = self._settings.forecast_seconds
        if not limit:
            return Outlook(None, "LUTHIER_FORECAST_SECONDS is 0.")
        if importlib.util.find_spec("tensorflow") is None:
            return Outlook(None, "This API is installed without the packages that train.")
        with self._process() as executor:
            future = executor.submit(make_forecast, self._request(decision), None)
            try:
                return Outlook(future.result(limit))
            except FutureTimeout:
                executor.cancel(future)
                return Outlook(None, f"It took longer than {limit:g} s.")
            except Exception as error:
                return Outlook(None, f"{type(error).__name__}: {error}")

    def close(self) -> None:
        """End the process, if there is one; the next question starts another."""
        with self._lock:
            if self._executor is not None and not self._asking:
                self._executor.close()
                self._executor = None

    def _request(self, decision: Decision) -> ForecastRequest:
        spec, builtin = decision.spec, None
        dataset = spec.dataset
        if dataset.startswith(BUILTIN_PREFIX):
            name = dataset.removeprefix(BUILTIN_PREFIX)
            stored = self._datasets.find_builtin(name)
            builtin = name if stored is None else None
            dataset = name if stored is None else stored.id
        return ForecastRequest(
            spec=spec,
            data=spec.data(dataset, self._settings.resolved_artifacts),
            builtin=builtin,
            trials=decision.trials - len(decision.reused),
            slots=self._settings.resolved_trial_slots,
        )

    @contextmanager
    def _process(self) -> Iterator[Executor]:
        with self._lock:
            if self._closing is not None:
                self._closing.cancel()
            if self._executor is None:
                # An API that is installed without what trains has no use for these.
                from models.executors.local import LocalExecutor
                from models.jobs.worker.tasks import prepare_tasks

                self._executor = LocalExecutor(
                    1, self._settings.trial_memory, prepare_tasks(self._settings)
                )
            self._asking += 1
            executor = self._executor
        try:
            yield executor
        finally:
            with self._lock:
                self._asking -= 1
                self._closing = threading.Timer(IDLE_SECONDS, self.close)
                self._closing.daemon = True
                self._closing.start()


def make_forecast(request: ForecastRequest) -> Forecast:
    """Train a few networks of the job for a few epochs and extrapolate; runs in a trial process.

    Writes nothing. Raises what reading the rows raises.
    """
    # The API sends this function by name; TensorFlow is imported by the process that calls it.
    from models.jobs.forecast.measuring import forecast

    return forecast(request)
