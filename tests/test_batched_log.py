"""Log lines that are written several at a time: none is lost, and none is torn."""

import fcntl
import io
import logging
import os
import threading
from collections.abc import Iterator

import pytest

from luthier.batched_log import BatchingHandler
from tests.waiting import wait_until

THREADS, LINES = 8, 200


class Stream(io.StringIO):
    """Keeps what was written in one call apart."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[str] = []

    def write(self, text: str) -> int:
        self.pieces.append(text)
        return super().write(text)


@pytest.fixture
def log() -> Iterator[logging.Logger]:
    found = logging.Logger("test_batched_log")
    yield found
    for handler in found.handlers:
        handler.close()


def test_every_line_of_every_thread_is_written_in_its_order(log: logging.Logger) -> None:
    stream = Stream()
    log.addHandler(handler := BatchingHandler(stream))

    def talk(name: int) -> None:
        for number in range(LINES):
            log.info("%d %d ü", name, number)

    threads = [threading.Thread(target=talk, args=(name,)) for name in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    handler.close()
    lines = [line.split() for line in stream.getvalue().splitlines()]
    for name in range(THREADS):
        assert [int(n) for who, n, _ in lines if who == str(name)] == list(range(LINES))
    assert len(stream.pieces) < THREADS * LINES
    assert max(len(piece.encode()) for piece in stream.pieces) <= 4096


def test_a_line_is_written_though_nothing_follows_it(log: logging.Logger) -> None:
    stream = Stream()
    log.addHandler(BatchingHandler(stream))
    log.info("alone")
    wait_until(lambda: stream.getvalue() == "alone\n")
    log.info("x" * 10_000)
    wait_until(lambda: len(stream.getvalue()) == 10_007)
    assert len(stream.pieces) == 2, "a line is not cut"


def test_a_warning_is_there_at_once_after_what_came_before(log: logging.Logger) -> None:
    stream = Stream()
    log.addHandler(BatchingHandler(stream))
    log.info("first")
    log.warning("second")
    assert stream.getvalue() == "first\nsecond\n"


def test_after_the_end_lines_are_written_at_once(log: logging.Logger) -> None:
    stream = Stream()
    log.addHandler(handler := BatchingHandler(stream))
    handler.close()
    log.info("late")
    assert stream.getvalue() == "late\n"


def test_lines_that_nothing_takes_are_counted(log: logging.Logger) -> None:
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    with open(writing, "w", encoding="utf-8") as stream, open(reading, encoding="utf-8") as pipe:
        log.addHandler(handler := BatchingHandler(stream, capacity=5))
        for number in range(100):
            log.info("%d %s", number, "x" * 2000)
        ending = threading.Thread(target=handler.close)
        ending.start()
        shown: list[list[str]] = []
        reader = threading.Thread(target=lambda: shown.extend(map(str.split, pipe)))
        reader.start()
        ending.join()
        stream.close()
        reader.join()
    dropped = [int(words[0]) for words in shown if words[1] == "log"]
    kept = [int(words[0]) for words in shown if words[1] != "log"]
    assert dropped
    assert kept == sorted(kept)
    assert len(kept) + sum(dropped) == 100


def test_a_stream_that_is_gone_ends_nothing(log: logging.Logger) -> None:
    stream = Stream()
    log.addHandler(handler := BatchingHandler(stream))
    stream.close()
    log.warning("nobody hears this")
    handler.close()
