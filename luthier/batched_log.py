"""Log lines of the API's processes, written several at a time."""

import logging
import threading
import time
from collections import deque
from typing import TextIO

CAPACITY = 10_000  # lines
_EVERY = 0.05  # seconds
_PIECE = 4096  # bytes, which a pipe takes whole: other processes write to it, too


def write_in_batches() -> None:
    """Let one thread write the lines of this process; no process may be forked from it."""
    root = logging.getLogger()
    for handler in list(root.handlers):
        if type(handler) is logging.StreamHandler:
            batching = BatchingHandler(handler.stream)
            batching.setFormatter(handler.formatter)
            root.removeHandler(handler)
            root.addHandler(batching)


class BatchingHandler(logging.Handler):
    """Writes to a stream what threads log, several lines at a time.

    A line waits for a twentieth of a second at most. One of a warning, or worse, is written at
    once, after those before it. At most `capacity` lines wait: while the stream takes none, further
    ones are dropped and counted, and the count is written as soon as the stream takes lines again.
    `close` writes what waits.
    """

    def __init__(self, stream: TextIO, capacity: int = CAPACITY) -> None:
        super().__init__()
        self._stream = stream
        self._capacity = capacity
        self._lines: deque[str] = deque()
        self._dropped = 0
        self._counting = threading.RLock()  # a handler of signals may log, too
        self._writing = threading.Lock()
        self._wake = threading.Event()
        self._writer: threading.Thread | None = None
        self._is_closed = False

    def createLock(self) -> None:  # noqa: N802  # a name of logging
        """Have no lock: a thread only appends its line."""
        self.lock = None

    def emit(self, record: logging.LogRecord) -> None:
        """Let the line of a record wait, or write it with all that wait."""
        try:
            line = self.format(record)
        except Exception:
            self.handleError(record)
            return
        if len(self._lines) < self._capacity:
            self._lines.append(line)
        else:
            with self._counting:
                self._dropped += 1
        is_urgent = record.levelno >= logging.WARNING and not self._writing.locked()
        if is_urgent or self._is_closed:
            self.flush()
        elif not self._wake.is_set():
            self._start()

    def flush(self) -> None:
        """Write every line that waits."""
        with self._writing:
            self._write()

    def close(self) -> None:
        """Write every line that waits; a later one is written at once."""
        self._is_closed = True
        self.flush()
        super().close()

    def _start(self) -> None:
        self._wake.set()
        if self._writer is None:
            with self._counting:
                if self._writer is None:
                    self._writer = threading.Thread(target=self._run, name="log", daemon=True)
                    self._writer.start()

    def _run(self) -> None:
        while not self._is_closed:
            self._wake.wait()
            time.sleep(_EVERY)
            self._wake.clear()  # before the lines are taken: one that comes now wakes it again
            self.flush()

    def _write(self) -> None:
        """Write what waits; nobody else may be writing."""
        while self._lines or self._dropped:
            with self._counting:
                dropped, self._dropped = self._dropped, 0
            piece = self._next_piece()
            if dropped:
                piece += f"{dropped} log lines were dropped: nothing took them.\n"
            try:
                self._stream.write(piece)
                self._stream.flush()
            except (OSError, ValueError):
                return  # the stream is closed: there is nobody to tell

    def _next_piece(self) -> str:
        """Take the next lines, as many as a pipe takes at once but one at least."""
        taken: list[str] = []
        size = 0
        while self._lines:
            size += len(self._lines[0].encode(errors="replace")) + 1
            if taken and size > _PIECE:
                break
            taken.append(self._lines.popleft())
        return "".join(f"{line}\n" for line in taken)
