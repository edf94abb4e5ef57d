# Made by client/unasync.py from _async/jobs.py; change that.
"""Calls about tuning jobs, and the handle of a job."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import httpx

from luthier.client._sync.models import Model, ModelCalls
from luthier.client.display import display_for
from luthier.client.errors import JobFailed, refusal
from luthier.client.records import FINAL_STATES, Trials, job_html
from luthier.client.requests import (
    EventParser,
    Upload,
    quoted,
    reading_form,
    tuning_request,
    with_wait,
)
from luthier.client.settings import RETRY_AFTER

if TYPE_CHECKING:
    import pandas as pd


class Job(dict[str, Any]):
    """A job: the answer of the service, with methods for what can be done to it.

    A method that changes the job, or waits for it, brings the answer up to date.
    """

    def __init__(self, client: "JobCalls", answer: Mapping[str, Any]) -> None:
        super().__init__(answer)
        self._client = client

    @property
    def id(self) -> str:
        """The id."""
        return str(self["id"])

    @property
    def state(self) -> str:
        """One of `queued`, `running`, `succeeded` and so on."""
        return str(self["state"])

    @property
    def is_over(self) -> bool:
        """Whether it has succeeded, failed or was cancelled."""
        return self.state in FINAL_STATES

    @property
    def score(self) -> float | None:
        """The score of the best trial so far."""
        best = self["best_trial"]
        return None if best is None else best["score"]

    def refresh(self) -> Self:
        """Read the job anew."""
        return self._changed(self._client.job(self.id))

    def watch(self, every: float = 0.5) -> Iterator[Self]:
        """Yield the job, brought up to date every `every` seconds, until it has ended."""
        for found in self._client.watch(self.id, every):
            yield self._changed(found)

    def wait(self, every: float = 0.5, progress: bool | None = None) -> Self:
        """Wait until the job has ended, and return it.

        Shows live progress in a notebook and on a terminal; `progress` shows it anywhere, or
        nowhere.
        """
        with display_for(progress) as display:
            for found in self.watch(every):
                display.show(found)
        return self

    def model(self) -> Model:
        """Return the model of the job's version; raises JobFailed if the job has none."""
        if self.get("version") is None:
            raise JobFailed(self)
        return self._client.model(self["model"])

    def trials(self, **query: Any) -> Trials:
        """Return the trials; `sort="score"` puts the best first."""
        return self._client.trials(self.id, **query)

    def events(self, after: int = 0) -> Iterator[dict[str, Any]]:
        """Yield the events after the event `after` as they happen."""
        return self._client.events(self.id, after)

    def front(self) -> dict[str, Any]:
        """Return the trials that no other beats by every objective."""
        return self._client.front(self.id)

    def importance(self) -> dict[str, Any]:
        """Return how much each hyperparameter matters."""
        return self._client.importance(self.id)

    def enqueue(self, *trials: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Queue trials of these values."""
        return self._client.enqueue(self.id, *trials)

    def finish(self, trial: int | None = None) -> Self:
        """Stop now and keep the best, or build a version of `trial`."""
        return self._changed(self._client.finish(self.id, trial))

    def cancel(self) -> Self:
        """Cancel the job."""
        return self._changed(self._client.cancel(self.id))

    def pause(self) -> Self:
        """Start no more trials until the job is resumed."""
        return self._changed(self._client.pause(self.id))

    def resume(self) -> Self:
        """Go on after a pause."""
        return self._changed(self._client.resume(self.id))

    def change_budget(self, **limits: float | None) -> Self:
        """Change limits of the budget, such as `max_trials`."""
        return self._changed(self._client.change_budget(self.id, **limits))

    def delete(self) -> None:
        """Delete the job; its registered versions stay."""
        self._client.delete_job(self.id)

    def _changed(self, answer: Mapping[str, Any]) -> Self:
        self.clear()
        self.update(answer)
        return self

    def _repr_html_(self) -> str:
        return job_html(self)


class JobCalls(ModelCalls):
    """Start, follow and steer jobs."""

    def tune(
        self,
        data: "Mapping[str, Any] | pd.DataFrame | str | Path",
        file: str | Path | None = None,
        types: Mapping[str, str] | None = None,
        options: Mapping[str, Any] | None = None,
        wait: float = 0.0,
        *,
        target: str | list[str] | None = None,
        **fields: Any,
    ) -> Job:
        """Queue a tuning job and return it, when it has ended or after `wait` seconds.

        `data` is a DataFrame, a path, a dataset or its id, or a whole request. `fields` are those
        of a request; `trials`, `seconds` and `epochs` limit its budget, `space` is its
        `search_space`. `file` becomes the dataset of a request. `types` and `options` say how a
        file is read.
        """
        source = tuning_request(data, target, fields, file)
        reading = reading_form(types, options)
        timing = with_wait(self._timeout, wait)
        return self._job(self._post_request(*source, reading, **timing))

    def plan(
        self,
        data: "Mapping[str, Any] | pd.DataFrame | str | Path",
        file: str | Path | None = None,
        types: Mapping[str, str] | None = None,
        options: Mapping[str, Any] | None = None,
        *,
        target: str | list[str] | None = None,
        **fields: Any,
    ) -> dict[str, Any]:
        """Return what a tuning job would do, without starting it; arguments as of `tune`."""
        source = tuning_request(data, target, fields, file)
        reading = reading_form(types, options)
        return self._post_request(*source, reading, params={"dry_run": True})

    def job(self, job: str, wait: float = 0.0) -> Job:
        """Return a job with its progress, when it has ended or after `wait` seconds."""
        timing = with_wait(self._timeout, wait)
        return self._job(self._call("GET", f"/tune/{quoted(job)}", **timing))

    def jobs(self, limit: int | None = None, **query: Any) -> list[Job]:
        """Return the newest jobs, or all; `query` may have `state`, `model` and `tag`."""
        return [self._job(found) for found in self._pages("/tune", query, limit)]

    def watch(self, job: str, every: float = 0.5) -> Iterator[Job]:
        """Yield the job now and every `every` seconds, until it has ended."""
        while True:
            found = self.job(job)
            yield found
            if found.is_over:
                return
            time.sleep(every)

    def wait(self, job: str, every: float = 0.5) -> Job:
        """Wait until the job has ended and return it."""
        found = self.job(job)
        return found.wait(every, progress=False)

    def events(self, job: str, after: int = 0) -> Iterator[dict[str, Any]]:
        """Yield the job's events (`id`, `event` and `data`) as they happen, until it has ended.

        Begins after the event `after`, and reconnects where a connection is lost.
        """
        while True:
            parser = EventParser()
            try:
                with self._http.stream(
                    "GET", f"/tune/{quoted(job)}/events", headers={"Last-Event-ID": str(after)}
                ) as response:
                    if response.status_code == httpx.codes.NO_CONTENT:
                        return
                    if response.is_error:
                        response.read()
                        raise refusal(response)
                    for line in response.iter_lines():
                        event = parser.feed(line)
                        if event is not None:
                            after = event["id"]
                            yield event
            except httpx.TransportError:
                time.sleep(RETRY_AFTER)

    def trials(self, job: str, limit: int | None = None, **query: Any) -> Trials:
        """Return a job's trials, all or the first; `sort="score"` puts the best first."""
        return Trials(self._pages(f"/tune/{quoted(job)}/trials", query, limit))

    def front(self, job: str) -> dict[str, Any]:
        """Return the trials that no other beats by every objective, and the hypervolume."""
        return self._call("GET", f"/tune/{quoted(job)}/front")

    def importance(self, job: str) -> dict[str, Any]:
        """Return how much each hyperparameter of a job matters."""
        return self._call("GET", f"/tune/{quoted(job)}/importance")

    def compare(self, *jobs: str, force: bool = False) -> dict[str, Any]:
        """Compare jobs; `force` allows jobs that differ in data or task."""
        query = {"jobs": ",".join(jobs), "force": str(force).lower()}
        return self._call("GET", "/compare", params=query)

    def enqueue(self, job: str, *trials: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Queue trials of these values in a job that has not ended, and return them."""
        body = {"trials": [dict(values) for values in trials]}
        items: list[dict[str, Any]]
        items = (self._call("POST", f"/tune/{quoted(job)}/trials", json=body))["items"]
        return items

    def discard(self, job: str, trial: int) -> None:
        """Discard a trial: it counts and teaches no more."""
        self.request("DELETE", f"/tune/{quoted(job)}/trials/{trial}")

    def change_budget(self, job: str, **limits: float | None) -> Job:
        """Change limits of a job's budget, such as `max_trials`; with more, an ended one continues.

        None takes a limit away.
        """
        return self._job(self._call("PATCH", f"/tune/{quoted(job)}", json={"budget": limits}))

    def label(
        self, job: str, tags: Sequence[str] | None = None, description: str | None = None
    ) -> Job:
        """Replace the tags or the description of a job; what is None stays."""
        body = {"tags": tags and list(tags), "description": description}
        given = {name: value for name, value in body.items() if value is not None}
        return self._job(self._call("PATCH", f"/tune/{quoted(job)}", json=given))

    def finish(self, job: str, trial: int | None = None) -> Job:
        """Stop a job now; the best trial becomes a version, after those that run were scored.

        With `trial`, an ended job builds a version of that trial.
        """
        body = {} if trial is None else {"trial": trial}
        return self._job(self._call("POST", f"/tune/{quoted(job)}/finish", json=body))

    def requeue(self, job: str) -> Job:
        """Take a job from the worker that holds it, for any worker to go on with."""
        return self._job(self._call("POST", f"/tune/{quoted(job)}/requeue"))

    def cancel(self, job: str) -> Job:
        """Cancel a job."""
        return self._job(self._call("POST", f"/tune/{quoted(job)}/cancel"))

    def pause(self, job: str) -> Job:
        """Start no more trials until the job is resumed."""
        return self._job(self._call("POST", f"/tune/{quoted(job)}/pause"))

    def resume(self, job: str) -> Job:
        """Go on with a paused job."""
        return self._job(self._call("POST", f"/tune/{quoted(job)}/resume"))

    def delete_job(self, job: str) -> None:
        """Delete a job that is not being worked on; its registered versions stay."""
        self.request("DELETE", f"/tune/{quoted(job)}")

    def _post_request(
        self,
        request: dict[str, Any],
        upload: Upload | None,
        reading: Mapping[str, str],
        **arguments: Any,
    ) -> dict[str, Any]:
        """Send a tuning request, with its file if it has one."""
        if upload is None:
            return self._call("POST", "/tune", json=request, **arguments)
        form = {**reading, "request": json.dumps(request)}
        return self._upload("/tune", upload, form, **arguments)

    def _job(self, answer: Mapping[str, Any]) -> Job:
        return Job(self, answer)
