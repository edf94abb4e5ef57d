"""Clients that follow a job or wait for its end, and how many may do so at once."""

import json
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator

from models.fields import LARGEST_NUMBER
from models.jobs.store.events import Event, EventFeed

LOOK_SECONDS = 0.5  # between two queries of the database
KEEP_ALIVE_SECONDS = 15.0  # without an event, until a comment keeps proxies from hanging up
RETRY_MILLISECONDS = 2000  # after which a client that lost its connection comes back

MEDIA_TYPE = "text/event-stream"
RETRY_AFTER = "5"  # seconds after which a place may be free

_KEPT_FREE = 2  # threads that no stream or wait takes


class EventStreams:
    """The streams and waits of one process; each holds a thread as long as it lasts."""

    def __init__(self, feed: EventFeed, threads: int) -> None:
        self.feed = feed
        self.is_closing: Callable[[], bool] = lambda: False  # whether the process is to end
        self._places = threading.BoundedSemaphore(max(0, threads - _KEPT_FREE))

    def take_place(self) -> bool:
        """Return whether a thread is free for this; `give_back_place` must follow then."""
        return self._places.acquire(blocking=False)

    def give_back_place(self) -> None:
        """Free the thread of what has ended."""
        self._places.release()

    def wait(
        self,
        job: str,
        seconds: float,
        look_seconds: float = LOOK_SECONDS,
        client: socket.socket | None = None,
    ) -> bool:
        """Wait until `job` has ended, is deleted, `client` has hung up, or `seconds` are over.

        Returns False, at once, if no thread is free for it.
        """
        end = time.monotonic() + seconds
        if not self.take_place():
            return False
        try:
            while not (self.is_closing() or self.feed.after(job, LARGEST_NUMBER).is_all):
                left = end - time.monotonic()
                if left <= 0 or has_hung_up(client, min(left, look_seconds)):
                    break
        finally:
            self.give_back_place()
        return True

    def stream(
        self,
        job: str,
        seen: int,
        look_seconds: float = LOOK_SECONDS,
        keep_alive_seconds: float = KEEP_ALIVE_SECONDS,
        client: socket.socket | None = None,
    ) -> Iterator[str]:
        """Yield the events of `job` with ids above `seen` as they come, until the job has ended.

        Ends, too, once `client` has hung up, which is noticed at once. The pieces are in the
        `text/event-stream` format (HTML Living Standard, section 9.2).
        """
        yield f"retry: {RETRY_MILLISECONDS}\n\n"
        spoken = time.monotonic()
        while not self.is_closing():
            news = self.feed.after(job, seen)
            if news.events:
                seen = news.events[-1].id
                spoken = time.monotonic()
                yield "".join(as_text(event) for event in news.events)
            if news.is_all:
                return
            if news.events:
                continue
            if time.monotonic() - spoken >= keep_alive_seconds:
                spoken = time.monotonic()
                yield ": keep-alive\n\n"
            if has_hung_up(client, look_seconds):
                return
        # The client reconnects with `Last-Event-ID` and another process continues.
        yield ": this process ends\n\n"


def has_hung_up(client: socket.socket | None, seconds: float) -> bool:
    """Wait for `seconds`; return True, at once, if the client closes its connection meanwhile.

    None stands for a client whose connection is not known.
    """
    if client is None:
        time.sleep(seconds)
        return False
    poll = select.poll()
    poll.register(client, select.POLLIN)
    if not poll.poll(round(1000 * seconds)):
        return False
    try:
        if client.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b"":
            return True
    except BlockingIOError:
        pass
    except OSError:
        return True
    time.sleep(seconds)  # its next request is here already
    return False


def as_text(event: Event) -> str:
    """Return one event in the `text/event-stream` format."""
    data = json.dumps(event.data, allow_nan=False)
    return f"id: {event.id}\nevent: {event.kind}\ndata: {data}\n\n"
