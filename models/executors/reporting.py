"""What a running task tells whoever submitted it, and how that one asks it to stop.

Both go through files of the task's own. So a task never waits for a reader, however slow or dead,
and a task that is killed half-way leaves nothing locked behind; a queue shared between processes
could not promise either.
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

REPORT_SECONDS = 0.2  # least time between two batches of one task
STOP_SECONDS = 0.05  # least time between two looks of a task at whether it is to stop


@dataclass(frozen=True, slots=True)
class Channel:
    """The files of one task: its reports, and the wishes that it stop."""

    path: str  # without an ending; the folder exists

    @property
    def reports(self) -> Path:
        """One report a line, as JSON, appended by the task."""
        return Path(f"{self.path}.reports")

    def stop(self, part: int) -> Path:
        """Is there once a part of the task was asked to stop."""
        return Path(f"{self.path}.{part}.stop")

    def stopped(self) -> set[int]:
        """The parts that were asked to stop."""
        return {int(file.suffixes[-2][1:]) for file in self._stops()}

    def remove(self) -> None:
        """Forget the task; nothing happens if it told nothing."""
        for file in (self.reports, *self._stops()):
            file.unlink(missing_ok=True)

    def _stops(self) -> list[Path]:
        path = Path(self.path)
        return list(path.parent.glob(f"{path.name}.*.stop"))


class Teller:
    """The task's end of a channel."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._pending: list[Any] = []
        self._file: BinaryIO | None = None
        self._next_batch = self._next_look = 0.0  # by the monotonic clock
        self._stopped: set[int] = set()
        self._is_broken = False

    def tell(self, report: Any, part: int = 0) -> bool:
        """Keep a report for the next batch; answer whether `part` was asked to stop."""
        self._pending.append(report)
        now = time.monotonic()
        if now >= self._next_batch:
            self.flush()
            self._next_batch = now + REPORT_SECONDS
        if now >= self._next_look:
            self._stopped = self._channel.stopped()
            self._next_look = now + STOP_SECONDS
        return part in self._stopped

    def flush(self) -> None:
        """Write what is kept; a disk that refuses ends the reports, not the task."""
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
        """Write the rest."""
        self.flush()
        if self._file is not None:
            with suppress(OSError):
                self._file.close()


class Listener:
    """The submitter's end of a channel."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self._place = 0  # bytes read so far

    def read(self) -> list[Any]:
        """What was told since the last call; a line that is being written waits for the next."""
        try:
            with self.channel.reports.open("rb") as file:
                file.seek(self._place)
                content = file.read()
        except FileNotFoundError:
            return []
        whole = content[: content.rfind(b"\n") + 1]
        self._place += len(whole)
        return [json.loads(line) for line in whole.splitlines()]


_teller: Teller | None = None  # of the task that this process runs


def tell(report: Any, part: int = 0) -> bool:
    """Tell whoever submitted the present task; answer whether `part` of it is to end early.

    A report is anything that JSON holds, NaN and infinities included.
    Reports travel in batches, at most one each 0.2 s and the last when the task ends; the answer
    is at most 0.05 s old. Takes no time worth counting; outside a task nothing happens.
    """
    return _teller is not None and _teller.tell(report, part)


def run_task(channel: Channel, function: Callable[[Payload], Result], payload: Payload) -> Result:
    """Run a task in its process; every report is written by the time its result is known."""
    global _teller
    _teller = Teller(channel)
    try:
        return function(payload)
    finally:
        _teller.close()
        _teller = None
