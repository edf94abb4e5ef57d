"""What is seen of a round's jobs while they run."""

import threading
import time
from collections.abc import Callable
from typing import Any

from luthier.client import FINAL_STATES
from tests.chaos.calls import Calls, NoAnswer
from tests.chaos.plan import When

TRIAL_ENDED = frozenset({"completed", "stopped", "failed"})  # for good
_EVERY = 0.1  # seconds
_LIST_EVERY = 1.0  # seconds, where no trial has ended since
_LASTING: tuple[str, ...] = ("state", "values", "score", "metrics", "history", "epochs", "retries")
_LASTING += ("failure", "started", "finished", "seconds", "parent", "folds")


class WatchedJob:
    """One job as it was last seen, and every ended trial as it was first seen ended."""

    def __init__(self, job: str) -> None:
        self.id = job
        self.state = "queued"
        self.ended = 0
        self.running = 0
        self.stop_reason: str | None = None
        self.version: int | None = None
        self.is_deleted = False
        self.changed: list[str] = []  # ended trials that changed nevertheless
        self._trials: dict[int, dict[str, Any]] = {}

    @property
    def last_state(self) -> str:
        """Its state as it was last seen, or that it is gone."""
        return "deleted" if self.is_deleted else self.state

    def take(self, document: dict[str, Any]) -> bool:
        """Keep what `GET /tune/{id}` answered; return whether trials have ended since."""
        progress, before = document["progress"], self.ended
        self.ended = sum(progress[state] for state in TRIAL_ENDED)
        self.running = progress["running"]
        self.state = document["state"]
        self.stop_reason = document["stop_reason"]
        self.version = document["version"]
        return self.ended != before

    def compare(self, trials: list[dict[str, Any]]) -> None:
        """Compare trials with what they were when they had just ended."""
        for trial in trials:
            if trial["state"] not in TRIAL_ENDED and trial["number"] not in self._trials:
                continue
            lasting = {name: trial[name] for name in _LASTING}
            first = self._trials.setdefault(trial["number"], lasting)
            if changes := [name for name in _LASTING if first[name] != lasting[name]]:
                text = f"trial {trial['number']} of {self.id} changed its {', '.join(changes)}"
                if text not in self.changed:
                    self.changed.append(text)


class Watch:
    """Polls jobs in a thread of its own until `close`, through whichever API answers."""

    def __init__(self, calls: Calls, jobs: list[str]) -> None:
        self.jobs = [WatchedJob(job) for job in jobs]
        self._calls = calls
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._poll, daemon=True)
        self._next_list = dict.fromkeys(jobs, 0.0)  # by the monotonic clock
        self.error: Exception | None = None

    def start(self) -> None:
        """Begin to poll."""
        self._thread.start()

    def close(self) -> None:
        """Stop polling."""
        self._stop.set()
        self._thread.join()

    def wait_for(self, when: When, until: float) -> bool:
        """Wait for a moment of the first job; False once it can come no more.

        `until` is a time of the monotonic clock.
        """
        job = self.jobs[0]
        reached: dict[str, Callable[[], bool]] = {
            "running": lambda: job.running > 0,
            "ended": lambda: job.ended >= when.count,
            "saving": lambda: job.stop_reason is not None,
            "over": lambda: job.state in FINAL_STATES,
        }
        while not reached[when.event]():
            if job.is_deleted or job.state in FINAL_STATES or time.monotonic() > until:
                return False
            time.sleep(_EVERY / 2)
        time.sleep(when.delay)
        return True

    def are_over(self) -> bool:
        """Whether every job has ended or was deleted."""
        return all(job.is_deleted or job.state in FINAL_STATES for job in self.jobs)

    def look(self, job: WatchedJob, every_trial: bool = False) -> None:
        """Look at a job now, and at its trials if one has ended; raises NoAnswer."""
        answer = self._calls.until_answered("GET", f"/tune/{job.id}")
        if answer.status_code == 404:
            job.is_deleted = True
        elif answer.is_success:
            listed = job.take(answer.json()) or time.monotonic() >= self._next_list[job.id]
            if listed or every_trial:
                self._next_list[job.id] = time.monotonic() + _LIST_EVERY
                job.compare(trials_of(self._calls, job.id))

    def _poll(self) -> None:
        try:
            while not self._stop.wait(_EVERY):
                for job in self.jobs:
                    if not job.is_deleted:
                        self.look(job)
        except NoAnswer as error:
            self.error = error


def trials_of(calls: Calls, job: str) -> list[dict[str, Any]]:
    """Return every trial of a job; none if it was deleted; raises NoAnswer."""
    answer = calls.until_answered("GET", f"/tune/{job}/trials", params={"limit": 1000})
    items: list[dict[str, Any]] = answer.json()["items"] if answer.is_success else []
    return items
