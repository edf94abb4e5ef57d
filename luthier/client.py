"""A Python client of the service."""

import json
import os
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

from models.settings import CLIENT_KEY

_RECONNECT_AFTER = 1.0  # seconds
_TRIES = 3  # of one request
FINAL_STATES = frozenset({"succeeded", "failed", "cancelled"})


class RequestRefused(Exception):
    """The service answered with an error; `problem` is its body."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        self.status = status
        self.problem = problem
        super().__init__(f"{status}: {problem.get('detail', problem)}")


class Client:
    """A client of one Luthier service.

    Every method raises RequestRefused if the service answers with an error. `api_key` is sent with
    each request and defaults to the environment variable LUTHIER_API_KEY. A request whose
    connection breaks is sent twice more, which does not start a second job.
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:8000",
        timeout: float = 60.0,
        api_key: str | None = None,
    ) -> None:
        key = api_key or os.environ.get(CLIENT_KEY)
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._timeout = timeout
        self._http = httpx.Client(base_url=url, timeout=timeout, headers=headers)

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def upload(
        self,
        path: str | Path,
        types: Mapping[str, str] | None = None,
        name: str | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Upload a file as a dataset and return its id, rows and columns.

        `options` say how the file is to be read, where that shall not be detected.
        """
        form = _form(types, options) | ({"name": name} if name else {})
        return self._send("/datasets", path, form)

    def read_again(self, dataset: str, **changes: Any) -> dict[str, Any]:
        """Read the file of a dataset anew, with other `types=` or `options=`."""
        return self._call("POST", "/datasets", json={"from": dataset, **changes})

    def tune(
        self,
        request: Mapping[str, Any],
        file: str | Path | None = None,
        types: Mapping[str, str] | None = None,
        options: Mapping[str, Any] | None = None,
        wait: float = 0.0,
    ) -> dict[str, Any]:
        """Queue a tuning job and return it, when it has ended or after `wait` seconds.

        `file` is uploaded as the job's dataset, read as `types` and `options` say.
        """
        timing = self._wait(wait)
        if file is None:
            return self._call("POST", "/tune", json=request, **timing)
        form = _form(types, options) | {"request": json.dumps(request)}
        return self._send("/tune", file, form, **timing)

    def plan(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Return what a tuning job would do, without starting it."""
        return self._call("POST", "/tune", json=request, params={"dry_run": True})

    def job(self, job: str, wait: float = 0.0) -> dict[str, Any]:
        """Return a job with its progress, when it has ended or after `wait` seconds."""
        return self._call("GET", f"/tune/{job}", **self._wait(wait))

    def watch(self, job: str, every: float = 0.5) -> Iterator[dict[str, Any]]:
        """Yield the job now and every `every` seconds, until it has ended."""
        while True:
            found = self.job(job)
            yield found
            if found["state"] in FINAL_STATES:
                return
            time.sleep(every)

    def wait(self, job: str, every: float = 0.5) -> dict[str, Any]:
        """Wait until the job has ended and return it."""
        *_, last = self.watch(job, every)
        return last

    def events(self, job: str, after: int = 0) -> Iterator[dict[str, Any]]:
        """Yield the job's events (`id`, `event` and `data`) as they happen, until it has ended.

        Begins after the event `after`, and reconnects where a connection is lost.
        """
        while True:
            try:
                with self._http.stream(
                    "GET", f"/tune/{job}/events", headers={"Last-Event-ID": str(after)}
                ) as response:
                    if response.status_code == httpx.codes.NO_CONTENT:
                        return
                    if response.is_error:
                        response.read()
                        raise RequestRefused(response.status_code, response.json())
                    for event in _parse_events(response.iter_lines()):
                        after = event["id"]
                        yield event
            except httpx.TransportError:
                time.sleep(_RECONNECT_AFTER)

    def trials(self, job: str, **query: Any) -> list[dict[str, Any]]:
        """Return a job's trials; `sort="score"` puts the best first."""
        items: list[dict[str, Any]]
        items = self._call("GET", f"/tune/{job}/trials", params=query)["items"]
        return items

    def front(self, job: str) -> dict[str, Any]:
        """Return the trials that no other beats by every objective, and the hypervolume."""
        return self._call("GET", f"/tune/{job}/front")

    def enqueue(self, job: str, *trials: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Queue trials of these values in a job that has not ended, and return them."""
        body = {"trials": [dict(values) for values in trials]}
        items: list[dict[str, Any]]
        items = self._call("POST", f"/tune/{job}/trials", json=body)["items"]
        return items

    def change_budget(self, job: str, **limits: float | None) -> dict[str, Any]:
        """Change limits of a job's budget, such as `max_trials`; with more, an ended one continues.

        None takes a limit away.
        """
        return self._call("PATCH", f"/tune/{job}", json={"budget": limits})

    def finish(self, job: str, trial: int | None = None) -> dict[str, Any]:
        """Stop a job now; the best trial becomes a version, after those that run were scored.

        With `trial`, an ended job builds a version of that trial.
        """
        body = {} if trial is None else {"trial": trial}
        return self._call("POST", f"/tune/{job}/finish", json=body)

    def label(
        self, job: str, tags: Sequence[str] | None = None, description: str | None = None
    ) -> dict[str, Any]:
        """Replace the tags or the description of a job; what is None stays."""
        body = {"tags": tags and list(tags), "description": description}
        given = {name: value for name, value in body.items() if value is not None}
        return self._call("PATCH", f"/tune/{job}", json=given)

    def discard(self, job: str, trial: int) -> None:
        """Discard a trial: it counts and teaches no more."""
        response = self._request("DELETE", f"/tune/{job}/trials/{trial}")
        if response.is_error:
            raise RequestRefused(response.status_code, response.json())

    def requeue(self, job: str) -> dict[str, Any]:
        """Take a job from the worker that holds it, for any worker to go on with."""
        return self._call("POST", f"/tune/{job}/requeue")

    def cancel(self, job: str) -> dict[str, Any]:
        """Cancel a job."""
        return self._call("POST", f"/tune/{job}/cancel")

    def predict(self, model: str, instances: Sequence[Any], **options: Any) -> dict[str, Any]:
        """Predict rows with a model's champion.

        `options` are other fields of the request, such as `version`, `alias` or `interval`.
        """
        body = {"model": model, "instances": list(instances), **options}
        return self._call("POST", "/predict", json=body)

    def feedback(self, model: str, prediction_id: str, truth: Any) -> dict[str, Any]:
        """Send the true values of a logged prediction, one a row."""
        body = {"prediction_id": prediction_id, "truth": truth}
        return self._call("POST", f"/models/{model}/feedback", json=body)

    def monitor(self, model: str, hours: float = 24.0) -> dict[str, Any]:
        """Return what the versions of a model did in the last `hours`."""
        return self._call("GET", f"/models/{model}/monitor", params={"hours": hours})

    def compare(self, *jobs: str, force: bool = False) -> dict[str, Any]:
        """Compare jobs; `force` allows jobs that differ in data or task."""
        query = {"jobs": ",".join(jobs), "force": str(force).lower()}
        return self._call("GET", "/compare", params=query)

    def version(self, model: str, version: int) -> dict[str, Any]:
        """Return a version with its evidence, signature and layers."""
        return self._call("GET", f"/models/{model}/versions/{version}")

    def import_version(self, model: str, path: str | Path, **request: Any) -> dict[str, Any]:
        """Make a version of an ONNX file; docs/exports.md has the fields of `request`."""
        return self._send(f"/models/{model}/versions", path, {"request": json.dumps(request)})

    def promote(
        self, model: str, version: int, reason: str | None = None, expected: int | None = None
    ) -> dict[str, Any]:
        """Point `champion` at a version and return the model.

        With `expected` only if `champion` points at that version alone; `reason` goes to the
        history.
        """
        body = {"version": version} | ({} if reason is None else {"reason": reason})
        return self.set_alias(model, "champion", expected, **body)

    def set_alias(
        self, model: str, alias: str, expected: int | str | None = None, **body: Any
    ) -> dict[str, Any]:
        """Change what an alias names, and return the model.

        `body` has `version` or `weights`, `shadow` and `reason`. With `expected` only if that is
        the alias's `ETag`, without its quotes.
        """
        headers = {} if expected is None else {"If-Match": f'"{expected}"'}
        return self._call("PUT", f"/models/{model}/aliases/{alias}", json=body, headers=headers)

    def moves(self, model: str, alias: str = "champion") -> list[dict[str, Any]]:
        """Return the latest moves of an alias, newest first: when, from, to, by whom and why."""
        items: list[dict[str, Any]]
        items = self._call("GET", f"/models/{model}/aliases/{alias}/history")["items"]
        return items

    def auto_promote(self, model: str, *, is_on: bool = True) -> dict[str, Any]:
        """Let any job that finds a better version move `champion`, or only those that may."""
        return self._call("PATCH", f"/models/{model}", json={"auto_promote": is_on})

    def _wait(self, seconds: float) -> dict[str, Any]:
        """Return the arguments of a call whose answer comes up to `seconds` later."""
        if not seconds:
            return {}
        patience = httpx.Timeout(self._timeout, read=self._timeout + seconds)
        return {"params": {"wait": seconds}, "timeout": patience}

    def _send(
        self, address: str, path: str | Path, form: Mapping[str, str], **arguments: Any
    ) -> dict[str, Any]:
        path = Path(path)
        with path.open("rb") as file:
            files = {"file": (path.name, file)}
            return self._call("POST", address, files=files, data=form, **arguments)

    def _call(self, method: str, path: str, **arguments: Any) -> dict[str, Any]:
        response = self._request(method, path, **arguments)
        if response.is_error:
            raise RequestRefused(response.status_code, response.json())
        body: dict[str, Any] = response.json()
        return body

    def _request(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, **arguments: Any
    ) -> httpx.Response:
        """Send a request; again if the connection broke, or while the first one is under way.

        Its key keeps the service from carrying it out twice.
        """
        sent = dict(headers or {})
        if method in ("POST", "PATCH"):
            sent["Idempotency-Key"] = secrets.token_hex(16)
        for left in reversed(range(_TRIES)):
            try:
                response = self._http.request(method, path, headers=sent, **arguments)
            except (httpx.NetworkError, httpx.RemoteProtocolError):
                if not left:
                    raise
            else:
                is_busy = response.status_code == httpx.codes.CONFLICT
                if not left or not (is_busy and "Retry-After" in response.headers):
                    return response
            time.sleep(_RECONNECT_AFTER)
        raise AssertionError("the last try returns or raises")


def _form(types: Mapping[str, str] | None, options: Mapping[str, Any] | None) -> dict[str, str]:
    """Return the fields of a form that say how its file is to be read."""
    return {"types": json.dumps(types or {}), "options": json.dumps(options or {})}


def _parse_events(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Yield the complete events in lines of `text/event-stream`; skip comments."""
    fields: dict[str, str] = {}
    for line in lines:
        if line:
            name, _, value = line.partition(": ")
            fields[name] = value
            continue
        if "data" in fields:
            data = json.loads(fields["data"])
            yield {"id": int(fields["id"]), "event": fields["event"], "data": data}
        fields = {}
