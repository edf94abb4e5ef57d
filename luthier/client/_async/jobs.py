"""Calls about tuning jobs, and the handle of a job."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import httpx

from luthier.client._async.models import AsyncModel, AsyncModelCalls
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


class AsyncJob(dict[str, Any]):
    """A job: the answer of the service, with methods for what can be done to it.

    A method that changes the job, or waits for it, brings the answer up to date.
    """

    def __init__(self, client: "AsyncJobCalls", answer: Mapping[str, Any]) -> None:
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

    async def refresh(self) -> Self:
        """Read the job anew."""
        return self._changed(await self._client.job(self.id))

    async def watch(self, every: float = 0.5) -> AsyncIterator[Self]:
        """Yield the job, brought up to date every `every` seconds, until it has ended."""
        async for found in self._client.watch(self.id, every):
            yield self._changed(found)

    async def wait(self, every: float = 0.5, progress: bool | None = None) -> Self:
        """Wait until the job has ended, and return it.

        Shows live progress in a notebook and on a terminal; `progress` shows it anywhere, or
        nowhere.
        """
        with display_for(progress) as display:
            async for found in self.watch(every):
                display.show(found)
        return self

    async def model(self) -> AsyncModel:
        """Return the model of the job's version; raises JobFailed if the job has none."""
        if self.get("version") is None:
            raise JobFailed(self)
        return await self._client.model(self["model"])

    async def trials(self, **query: Any) -> Trials:
        """Return the trials; `sort="score"` puts the best first."""
        return await self._client.trials(self.id, **query)

    def events(self, after: int = 0) -> AsyncIterator[dict[str, Any]]:
        """Yield the events after the event `after` as they happen."""
        return self._client.events(self.id, after)

    async def front(self) -> dict[str, Any]:
        """Return the trials that no other beats by every objective."""
        return await self._client.front(self.id)

    async def importance(self) -> dict[str, Any]:
        """Return how much each hyperparameter matters."""
        return await self._client.importance(self.id)

    async def enqueue(self, *trials: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Queue trials of these values."""
        return await self._client.enqueue(self.id, *trials)

    async def finish(self, trial: int | None = None) -> Self:
        """Stop now and keep the best, or build a version of `trial`."""
        return self._changed(await self._client.finish(self.id, trial))

    async def cancel(self) -> Self:
        """Cancel the job."""
        return self._changed(await self._client.cancel(self.id))

    async def pause(self) -> Self:
        """Start no more trials until the job is resumed."""
        return self._changed(await self._client.pause(self.id))

    async def resume(self) -> Self:
        """Go on after a pause."""
        return self._changed(await self._client.resume(self.id))

    async def change_budget(self, **limits: float | None) -> Self:
        """Change limits of the budget, such as `max_trials`."""
        return self._changed(await self._client.change_budget(self.id, **limits))

    async def delete(self) -> None:
        """Delete the job; its registered versions stay."""
        await self._client.delete_job(self.id)

    def _changed(self, answer: Mapping[str, Any]) -> Self:
        self.clear()
        self.update(answer)
        return self

    def _repr_html_(self) -> str:
        return job_html(self)


class AsyncJobCalls(AsyncModelCalls):
    """Start, follow and steer jobs."""

    async def tune(
        self,
        data: "Mapping[str, Any] | pd.DataFrame | str | Path",
        file: str | Path | None = None,
        types: Mapping[str, str] | None = None,
        options: Mapping[str, Any] | None = None,
        wait: float = 0.0,
        *,
        target: str | list[str] | None = None,
        **fields: Any,
    ) -> AsyncJob:
        """Queue a tuning job and return it, when it has ended or after `wait` seconds.

        `data` is a DataFrame, a path, a dataset or its id, or a whole request. `fields` are those
        of a request; `trials`, `seconds` and `epochs` limit its budget, `space` is its
        `search_space`. `file` becomes the dataset of a request. `types` and `options` say how a
        file is read.
        """
        source = tuning_request(data, target, fields, file)
        reading = reading_form(types, options)
        timing = with_wait(self._timeout, wait)
        return self._job(await self._post_request(*source, reading, **timing))

    async def plan(
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
        return await self._post_request(*source, reading, params={"dry_run": True})

    async def job(self, job: str, wait: float = 0.0) -> AsyncJob:
        """Return a job with its progress, when it has ended or after `wait` seconds."""
        timing = with_wait(self._timeout, wait)
        return self._job(await self._call("GET", f"/tune/{quoted(job)}", **timing))

    async def jobs(self, limit: int | None = None, **query: Any) -> list[AsyncJob]:
        """Return the newest jobs, or all; `query` may have `state`, `model` and `tag`."""
        return [self._job(found) for found in await self._pages("/tune", query, limit)]

    async def watch(self, job: str, every: float = 0.5) -> AsyncIterator[AsyncJob]:
        """Yield the job now and every `every` seconds, until it has ended."""
        while True:
            found = await self.job(job)
            yield found
            if found.is_over:
                return
            await asyncio.sleep(every)

    async def wait(self, job: str, every: float = 0.5) -> AsyncJob:
        """Wait until the job has ended and return it."""
        found = await self.job(job)
        return await found.wait(every, progress=False)

    async def events(self, job: str, after: int = 0) -> AsyncIterator[dict[str, Any]]:
        """Yield the job's events (`id`, `event` and `data`) as they happen, until it has ended.

        Begins after the event `after`, and reconnects where a connection is lost.
        """
        while True:
            parser = EventParser()
            try:
                async with self._http.stream(
                    "GET", f"/tune/{quoted(job)}/events", headers={"Last-Event-ID": str(after)}
                ) as response:
                    if response.status_code == httpx.codes.NO_CONTENT:
                        return
                    if response.is_error:
                        await response.aread()
                        raise refusal(response)
                    async for line in response.aiter_lines():
                        event = parser.feed(line)
                        if event is not None:
                            after = event["id"]
                            yield event
            except httpx.TransportError:
                await asyncio.sleep(RETRY_AFTER)

    async def trials(self, job: str, limit: int | None = None, **query: Any) -> Trials:
        """Return a job's trials, all or the first; `sort="score"` puts the best first."""
        return Trials(await self._pages(f"/tune/{quoted(job)}/trials", query, limit))

    async def front(self, job: str) -> dict[str, Any]:
        """Return the trials that no other beats by every objective, and the hypervolume."""
        return await self._call("GET", f"/tune/{quoted(job)}/front")

    async def importance(self, job: str) -> dict[str, Any]:
        """Return how much each hyperparameter of a job matters."""
        return await self._call("GET", f"/tune/{quoted(job)}/importance")

    async def compare(self, *jobs: str, force: bool = False) -> dict[str, Any]:
        """Compare jobs; `force` allows jobs that differ in data or task."""
        query = {"jobs": ",".join(jobs), "force": str(force).lower()}
        return await self._call("GET", "/compare", params=query)

    async def enqueue(self, job: str, *trials: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Queue trials of these values in a job that has not ended, and return them."""
        body = {"trials": [dict(values) for values in trials]}
        items: list[dict[str, Any]]
        items = (await self._call("POST", f"/tune/{quoted(job)}/trials", json=body))["items"]
        return items

    async def discard(self, job: str, trial: int) -> None:
        """Discard a trial: it counts and teaches no more."""
        await self.request("DELETE", f"/tune/{quoted(job)}/trials/{trial}")

    async def change_budget(self, job: str, **limits: float | None) -> AsyncJob:
        """Change limits of a job's budget, such as `max_trials`; with more, an ended one continues.

        None takes a limit away.
        """
        return self._job(await self._call("PATCH", f"/tune/{quoted(job)}", json={"budget": limits}))

    async def label(
        self, job: str, tags: Sequence[str] | None = None, description: str | None = None
    ) -> AsyncJob:
        """Replace the tags or the description of a job; what is None stays."""
        body = {"tags": tags and list(tags), "description": description}
        given = {name: value for name, value in body.items() if value is not None}
        return self._job(await self._call("PATCH", f"/tune/{quoted(job)}", json=given))

    async def finish(self, job: str, trial: int | None = None) -> AsyncJob:
        """Stop a job now; the best trial becomes a version, after those that run were scored.

        With `trial`, an ended job builds a version of that trial.
        """
        body = {} if trial is None else {"trial": trial}
        return self._job(await self._call("POST", f"/tune/{quoted(job)}/finish", json=body))

    async def requeue(self, job: str) -> AsyncJob:
        """Take a job from the worker that holds it, for any worker to go on with."""
        return self._job(await self._call("POST", f"/tune/{quoted(job)}/requeue"))

    async def cancel(self, job: str) -> AsyncJob:
        """Cancel a job."""
        return self._job(await self._call("POST", f"/tune/{quoted(job)}/cancel"))

    async def pause(self, job: str) -> AsyncJob:
        """Start no more trials until the job is resumed."""
        return self._job(await self._call("POST", f"/tune/{quoted(job)}/pause"))

    async def resume(self, job: str) -> AsyncJob:
        """Go on with a paused job."""
        return self._job(await self._call("POST", f"/tune/{quoted(job)}/resume"))

    async def delete_job(self, job: str) -> None:
        """Delete a job that is not being worked on; its registered versions stay."""
        await self.request("DELETE", f"/tune/{quoted(job)}")

    async def _post_request(
        self,
        request: dict[str, Any],
        upload: Upload | None,
        reading: Mapping[str, str],
        **arguments: Any,
    ) -> dict[str, Any]:
        """Send a tuning request, with its file if it has one."""
        if upload is None:
            return await self._call("POST", "/tune", json=request, **arguments)
        form = {**reading, "request": json.dumps(request)}
        return await self._upload("/tune", upload, form, **arguments)

    def _job(self, answer: Mapping[str, Any]) -> AsyncJob:
        return AsyncJob(self, answer)
