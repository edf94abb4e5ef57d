"""Two clients that act on the same jobs at once."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from luthier.client import FINAL_STATES
from tests.chaos.calls import Calls, NoAnswer
from tests.chaos.plan import ENQUEUED, RAISED_BY, ROWS, STRATEGIES, Action, JobPlan
from tests.chaos.watch import Watch, WatchedJob

_PAUSED = 0.3  # seconds
_EVERY = 0.1  # seconds
_OK = 300  # statuses below are successes


@dataclass
class Asked:
    """What was asked of one job; `maybe` counts what was sent more than once."""

    cancelled: bool = False
    finished: bool = False
    deleted: bool = False
    enqueued: int = 0  # trials
    maybe_enqueued: int = 0
    raised: bool = False
    dataset_was_deleted: bool = False  # though the job needed it
    lock: threading.Lock = field(default_factory=threading.Lock)


class User:
    """One client: does its actions in order, each at its moment."""

    def __init__(
        self,
        calls: Calls,
        watch: Watch,
        plans: Sequence[JobPlan],
        asked: Sequence[Asked],
        dataset: str,
    ) -> None:
        self._calls = calls
        self._watch = watch
        self._plans = plans
        self._asked = asked
        self._dataset = dataset
        self.error: Exception | None = None

    def act(self, actions: Sequence[Action], until: float) -> None:
        """Do all the actions whose moments come before `until`, on the monotonic clock."""
        kinds: dict[str, Callable[[int, WatchedJob], None]] = {
            "pause": self._pause,
            "cancel": self._cancel,
            "finish": self._finish,
            "delete": self._delete,
            "raise": self._raise,
            "enqueue": self._enqueue,
            "predict": self._predict,
            "delete_dataset": self._delete_dataset,
        }
        try:
            for action in actions:
                if self._watch.wait_for(action.when, until):
                    kinds[action.kind](action.job, self._watch.jobs[action.job])
        except NoAnswer as error:
            self.error = error

    def _pause(self, index: int, job: WatchedJob) -> None:
        self._send("POST", f"/tune/{job.id}/pause")
        time.sleep(_PAUSED)
        self._send("POST", f"/tune/{job.id}/resume")

    def _cancel(self, index: int, job: WatchedJob) -> None:
        self._asked[index].cancelled = True
        self._send("POST", f"/tune/{job.id}/cancel")

    def _finish(self, index: int, job: WatchedJob) -> None:
        status, _ = self._send("POST", f"/tune/{job.id}/finish")
        self._asked[index].finished = status < _OK

    def _delete(self, index: int, job: WatchedJob) -> None:
        self._cancel(index, job)
        deadline = time.monotonic() + self._calls.patience
        while job.state not in FINAL_STATES and not job.is_deleted:
            if time.monotonic() > deadline:
                raise NoAnswer(f"{job.id} did not end after it was cancelled.")
            time.sleep(_EVERY)
        self._asked[index].deleted = True
        self._send("DELETE", f"/tune/{job.id}")

    def _raise(self, index: int, job: WatchedJob) -> None:
        limit = STRATEGIES[self._plans[index].strategy]["budget"]["max_trials"] + RAISED_BY
        answer, _ = self._send("PATCH", f"/tune/{job.id}", json={"budget": {"max_trials": limit}})
        # Sent twice, the second is refused as no raise.
        if answer < _OK or answer == 422:
            self._asked[index].raised = True

    def _enqueue(self, index: int, job: WatchedJob) -> None:
        status, sent = self._send("POST", f"/tune/{job.id}/trials", json={"trials": ENQUEUED})
        with self._asked[index].lock:
            if status < _OK:
                self._asked[index].enqueued += len(ENQUEUED)
            self._asked[index].maybe_enqueued += len(ENQUEUED) * (sent - (status < _OK))

    def _predict(self, index: int, job: WatchedJob) -> None:
        self._send("GET", "/models")
        self._send("POST", "/predict", json={"model": f"none-{job.id}", "instances": ROWS})

    def _delete_dataset(self, index: int, job: WatchedJob) -> None:
        was_live = job.state not in FINAL_STATES
        status, _ = self._send("DELETE", f"/datasets/{self._dataset}")
        if status >= _OK:
            return
        self._watch.look(job)
        if was_live and not job.is_deleted and job.state not in FINAL_STATES:
            self._asked[index].dataset_was_deleted = True

    def _send(self, method: str, path: str, **arguments: Any) -> tuple[int, int]:
        """Return the status in the end, and how often the call was sent; raises NoAnswer."""
        before = len(self._calls.unanswered)
        answer = self._calls.until_answered(method, path, **arguments)
        # Calls of other threads count too: more than was sent is no fault, it only allows more.
        return answer.status_code, 1 + len(self._calls.unanswered) - before
