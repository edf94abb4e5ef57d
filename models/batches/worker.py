"""The thread of a worker that has batches predicted, one at a time, by a process of its own."""

import logging
import secrets
import socket
import subprocess
import threading
import time
from contextlib import AbstractContextManager, suppress

from sqlalchemy.exc import DBAPIError

from models.batches.process import BatchTask, is_to_be_tried_again, start
from models.batches.queue import BatchQueue, HeldBatch
from models.errors import LeaseLost
from models.settings import Settings
from models.store.changes import Changes, Channel
from models.store.engine import Database, working_beside
from models.store.leases import RENEWALS

_LOOK_SECONDS = 1.0  # at most between two looks at the batch that is worked on
_GLANCE = 0.05  # seconds between two looks whether the process has ended
_LOOK_AGAIN = 1.0  # seconds after a shared part did not answer

log = logging.getLogger(__name__)


class BatchWorker:
    """One claimant of batches; all of it happens in the thread of `work`."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self.owner = f"{socket.gethostname()[:40]}-{secrets.token_hex(6)}"
        self._settings = settings
        self._database = database
        self._queue = BatchQueue(database, self.owner, settings.lease_seconds)

    def work(self, stop: threading.Event) -> None:
        """Claim batches and have them predicted until `stop` is set; then let go."""
        changes = Changes(self._database, Channel.BATCHES)
        every = self._settings.lease_seconds / RENEWALS
        while not stop.is_set():
            try:
                held = self._queue.claim()
                if held is None:
                    poll = self._settings.poll_seconds
                    _rest(changes, max(poll, every) if changes.are_told else poll, stop)
                else:
                    self._carry_out(held, stop)
            except DBAPIError as error:
                log.error("the database does not answer; trying again: %s", error)
                stop.wait(_LOOK_AGAIN)
            except Exception:
                log.exception("a batch failed inside the worker; trying again")
                stop.wait(_LOOK_AGAIN)
        changes.close()

    def _carry_out(self, held: HeldBatch, stop: threading.Event) -> None:
        """Have a batch predicted until it ends, is taken away, or `stop` is set."""
        log.info("claimed batch %s", held.id, extra={"fields": {"batch": held.id}})
        task = BatchTask.of(self._settings, held.id, self.owner, held.claim)
        process = start(task)
        try:
            status = self._follow(process, held, stop)
        finally:
            process.kill()
            process.wait()
        with suppress(LeaseLost):  # it has ended, or is another's
            if status is None or is_to_be_tried_again(status):
                held.release()
                stop.wait(0 if status is None else _LOOK_AGAIN)
            elif status != 0:
                log.error("the process of batch %s ended with %s", held.id, status)
                held.release(failed=True)

    def _follow(
        self, process: "subprocess.Popen[bytes]", held: HeldBatch, stop: threading.Event
    ) -> int | None:
        """Renew the lease while the process works; return its status, None to end it."""
        every = min(_LOOK_SECONDS, self._settings.lease_seconds / RENEWALS)
        looked = time.monotonic()
        while (status := process.poll()) is None and not stop.wait(_GLANCE):
            if time.monotonic() - looked < every:
                continue
            looked = time.monotonic()
            # Without the database the process cannot go on either: both try again.
            with suppress(DBAPIError):
                if not held.is_mine():
                    return None
                self._queue.renew()
        return status


def _rest(changes: Changes, seconds: float, stop: threading.Event) -> None:
    """Wait until something is written, or `seconds` are over."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0 and not stop.wait(min(left, _GLANCE)):
        if changes.noticed():
            return


def batching(settings: Settings) -> AbstractContextManager[None]:
    """Work on batches in a thread of its own for the time of the block."""
    return working_beside(
        settings.resolved_database_url,
        "batches",
        lambda database, stop: BatchWorker(database, settings).work(stop),
    )
