"""Luthier as its users have it: a CSV file, one request with three fields, and HTTP."""

import io
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import numpy as np
import pandas as pd

from benchmarks.quality.fitting import THREADS, Outcome, time_rows
from benchmarks.quality.tables import Case
from benchmarks.server import serving, wait_until_idle
from luthier.client import FINAL_STATES, Client, RequestRefused

_LONGEST = 3600.0  # seconds of a job, after which it is cancelled
_LOOK_EVERY = 30.0  # seconds that one request waits for the end of a job
_ROWS_A_REQUEST = 1000
_PATIENCE = 120.0  # seconds for one answer
_LEVEL = 0.9  # of the intervals
_WARM_UP = {
    "model": "warm-up",
    "dataset": "builtin:diabetes",
    "target": "target",
    "budget": {"max_trials": 2 * THREADS, "epochs": 1},
}

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class LuthierService:
    """A running service, and what requests say beside `model`, `dataset` and `target`."""

    client: Client
    http: httpx.Client
    request: Mapping[str, Any]

    def run(self, case: Case) -> Outcome:
        """Tune on the training rows of a case and predict its test rows.

        The seconds are those from the request until the version is registered; the upload is not
        counted. The bytes are those of the one file that predictions need.
        """
        model = f"{case.table.name}-{case.split}"
        try:
            dataset = self._upload(case)
            started = datetime.now(UTC)
            job = self._tune({**self.request, "model": model, "dataset": dataset}, case)
            ended = (
                datetime.fromisoformat(job["finished"]) if job["finished"] else datetime.now(UTC)
            )
            seconds = (ended - started).total_seconds()
            if job["state"] != "succeeded":
                state = "ended" if job["state"] == "cancelled" else "failed"
                return Outcome(state, seconds, reason=json.dumps(job["error"]))
            version = self.client.version(model, 1)
            predictions, covered = self._predict(model, case, version["coverage"] is not None)
            size = version["files"]["model.onnx"]["bytes"]
            return Outcome("done", seconds, predictions, size, self._time_row(model, case), covered)
        except (RequestRefused, httpx.HTTPError) as error:
            return Outcome("failed", 0.0, reason=str(error))

    def _upload(self, case: Case) -> str:
        with TemporaryDirectory() as folder:
            path = Path(folder) / f"{case.table.name}.csv"
            path.write_text(as_csv(case.train), encoding="utf-8")
            return str(self.client.upload(path)["id"])

    def _tune(self, request: Mapping[str, Any], case: Case) -> dict[str, Any]:
        """Return the job when it has ended; it is cancelled when it takes too long."""
        deadline = time.monotonic() + _LONGEST
        job = self.client.tune({**request, "target": case.table.target})
        while job["state"] not in FINAL_STATES:
            if time.monotonic() > deadline:
                self.client.cancel(job["id"])
            job = self.client.job(job["id"], wait=_LOOK_EVERY)
        return job

    def _predict(self, model: str, case: Case, has_intervals: bool) -> tuple[Array, float | None]:
        """Return predictions of the test rows, and which share their intervals cover."""
        _, _, rows, truth = case.parts()
        found, covered = [], 0
        for first in range(0, len(rows), _ROWS_A_REQUEST):
            part = slice(first, first + _ROWS_A_REQUEST)
            body = self._ask(model, rows.iloc[part], has_intervals)
            found.append(_values(body, case.classes))
            covered += covered_rows(body, truth.iloc[part]) if has_intervals else 0
        return np.concatenate(found), covered / len(rows) if has_intervals else None

    def _ask(self, model: str, rows: pd.DataFrame, has_intervals: bool) -> dict[str, Any]:
        response = self.http.post(
            "/predict",
            params={"model": model, **({"interval": _LEVEL} if has_intervals else {})},
            content=as_csv(rows).encode(),
            headers={"Content-Type": "text/csv"},
        )
        answer: dict[str, Any] = response.raise_for_status().json()
        return answer

    def _time_row(self, model: str, case: Case) -> float:
        (row,) = as_records(case.parts()[2].iloc[:1])
        body = {"model": model, "instances": [row]}
        return time_rows(lambda: self.http.post("/predict", json=body).raise_for_status().content)


def _values(body: Mapping[str, Any], classes: list[str]) -> Array:
    """Return numbers (rows), or probabilities (rows, classes) in the order of `classes`."""
    if not classes:
        return np.array(body["predictions"], dtype=float)
    shares = pd.DataFrame(body["probabilities"], columns=[str(each) for each in body["classes"]])
    return shares.reindex(columns=classes, fill_value=0.0).to_numpy(float)


def covered_rows(body: Mapping[str, Any], truth: "pd.Series[Any]") -> int:
    """Return how many rows have their truth within the bounds, or in the set of labels."""
    if "labels" in body:
        sets = zip(body["labels"], truth, strict=True)
        return sum(str(label) in map(str, listed) for listed, label in sets)
    return int(truth.between(body["lower"], body["upper"]).sum())


@contextmanager
def luthier(request: Mapping[str, Any], python: str) -> Iterator[LuthierService]:
    """Serve Luthier with an empty database until the end of the block; its processes are warm."""
    with (
        serving(THREADS, python) as (url, pid),
        Client(url, timeout=_PATIENCE) as client,
        httpx.Client(base_url=url, timeout=_PATIENCE) as http,
    ):
        client.wait(client.tune(_WARM_UP)["id"])
        wait_until_idle(pid)
        yield LuthierService(client, http, request)


def as_csv(rows: pd.DataFrame) -> str:
    """Return rows as the text of a CSV file, with dates as `2026-01-31` and empty missing cells."""
    text = io.StringIO()
    rows.to_csv(text, index=False, date_format="%Y-%m-%d")
    return text.getvalue()


def as_records(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Return rows as JSON objects, with cells as in the CSV file; null is a missing one."""
    dates = {name: rows[name].dt.strftime("%Y-%m-%d") for name in rows.select_dtypes("datetime")}
    records: list[dict[str, Any]] = json.loads(rows.assign(**dates).to_json(orient="records"))
    return records
