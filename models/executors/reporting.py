"""Reports of a running task to its submitter, and the submitter's request that it stop.

Both travel through files of the task's own. A task never waits for a reader, and a task that is
killed leaves no lock behind; a queue between processes could guarantee neither.
"""

import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

Payload = TypeVar("Payload")
Result = TypeVar("Result")

REPORT_SECONDS = 0.2  # minimum time between two batches of one task
STOP_SECONDS = 0.05  # minimum time between two checks of a task whether it should stop


@dataclass(frozen=True, slots=True)
class Channel:
    """The files of one task."""

    path: str  # without an ending; the folder exists

    @property
    def reports(self) -> Path:
        """The reports, one JSON document a line; the task appends to it."""
        return Path(f"{self.path}.reports")

    @property
    def stop(self) -> Path:
        """An empty file that exists once the task was asked to stop."""
        return Path(f"{self.path}.stop")

    def remove(self) -> None:
        """Delete the files that exist."""
        for file in (self.reports, self.stop):
            file.unlink(missing_ok=True)


class Teller:
    """The task's end of a channel."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._pending: list[Any] = []
        self._file: BinaryIO | None = None
        self._next_batch = self._next_check = 0.0  # by the monotonic clock
        self._is_stopped = False
        self._is_broken = False

    def tell(self, report: Any) -> bool:
        """Keep a report for the next batch; return whether the task was asked to stop."""
        self._pending.append(report)
        now = time.monotonic()
        if now >= self._next_batch:
            self.flush()
            self._next_batch = now + REPORT_SECONDS
        if now >= self._next_check:
            self._is_stopped = self._channel.stop.exists()
            self._next_check = now + STOP_SECONDS
        return self._is_stopped

    def flush(self) -> None:
        """Write the pending reports. A write error ends the reports, not the task."""
        pending, self._pending = self._pending, []
        if not pending or self._is_broken:
            return
        batch = "".join(f"{json.dumps(report)}\n" for report in pending).encode()
        try:
            if self._file is None:
                self._file = self._channel.reports.open("ab")
            self._file.write(batch)
            self._file.flush()
        except OSError:
            self._is_broken = True

    def close(self) -> None:
        """Write the remaining reports and close the file."""
        self.flush()
        if self._file is not None:
            with suppress(OSError):
                self._file.close()


class Listener:
    """The submitter's end of a channel."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self._offset = 0  # bytes read so far

    def read(self) -> list[Any]:
        """Return the reports written since the last call; an unfinished line is left for later."""
        try:
            with self.channel.reports.open("rb") as file:
                file.seek(self._offset)
                content = file.read()
        except FileNotFoundError:
            return []
        whole = content[: content.rfind(b"\n") + 1]
        self._offset += len(whole)
        return [json.loads(line) for line in whole.splitlines()]


_teller: Teller | None = None  # of the task that this process runs


def tell(report: Any) -> bool:
    """Report to the submitter of the current task; return whether the task should end early.

    A report is any value that `json` can write, NaN and infinities included. Reports are written
    in batches, at most one every 0.2 s and the last when the task ends; the answer is at most
    0.05 s old. Outside a task nothing happens.
    """
    return _teller is not None and _teller.tell(report)


def run_task(channel: Channel, function: Callable[[Payload], Result], payload: Payload) -> Result:
    """Run a task in its process; all reports are written before its result is known."""
    global _teller
    _teller = Teller(channel)
    try:
        return function(payload)
    finally:
        _teller.close()
        _teller = None
