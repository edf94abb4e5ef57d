"""A gunicorn worker in which a thread takes a request only once all of it has arrived."""

import contextlib
import json
import secrets
import selectors
import socket
import struct
import time
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from functools import partial
from http import HTTPStatus
from typing import Any

from gunicorn import http, util
from gunicorn.http import wsgi
from gunicorn.workers.gthread import STOP_KEEPALIVE_LINGER, TConn, ThreadWorker

from luthier.incoming import Incoming, Refused, Spool
from models.settings import Settings

_RECEIVE_BYTES = 256 * 1024
_SENT_AT_ONCE = 64 * 1024  # bytes of a body that are copied to go with the head
_LINGER_SECONDS = 2.0  # in which a client may read an answer before its connection is closed
_PROBES = (
    *(b"/healthz", b"/readyz", b"/v2/health/live", b"/v2/health/ready"),
    *(b"/ping", b"/health"),
)
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class BufferingWorker(ThreadWorker):  # type: ignore[misc]
    """Reads requests in its event loop, so that slow and silent clients hold no thread.

    Four kinds of threads answer: those for requests, those for requests that may take much memory,
    which wait for each other, one for predictions of many rows, and one for each probe. So probes
    are answered whatever the others do, an upload delays no small request, and at most one
    prediction of many rows asks for the interpreter's lock beside small requests. A client that
    exceeds a time limit gets 408 and its connection is closed. Where the places for connections run
    out, the one that is idle for longest is closed.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._settings: Settings = self.app.settings
        self._spool = Spool(self._settings.max_spool_bytes)
        # In the order in which they began; the values are not used.
        self._reading: dict[_Connection, None] = {}
        self._lingering: dict[_Connection, None] = {}
        self._pools: dict[bytes, Executor] = {}
        self._uploads: Executor | None = None
        self._predictions: Executor | None = None

    def init_process(self) -> None:
        """Start the thread pools and the loop."""
        self._pools = {path: ThreadPoolExecutor(1) for path in _PROBES}
        # Enough that those which wait for the end of a job leave room; see `EventStreams`.
        threads = self._settings.api_threads + self._settings.upload_threads
        self._uploads = ThreadPoolExecutor(threads)
        self._predictions = ThreadPoolExecutor(1)
        super().init_process()

    def accept(self, listener: socket.socket) -> None:
        """Accept a connection, at the expense of an idle one if there are too many."""
        if self.nr_conns >= self.worker_connections - 1:
            self._close_idle()
        try:
            client, address = listener.accept()
        except OSError as error:
            if isinstance(error, BlockingIOError | ConnectionAbortedError):
                return
            self.log.warning("No connection can be accepted: %s", error)
            if not self._close_idle():
                time.sleep(0.05)  # such as too many open files: not to come back at once
            return
        self.nr_conns += 1
        timeout = int(self._settings.idle_timeout)
        # For answers: a client that reads nothing holds its thread no longer.
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", timeout, 0))
        self._begin(_Connection(self.cfg, client, address, listener.getsockname()))

    def on_client_socket_readable(self, conn: Any, client: Any) -> None:
        """Read the next request of a kept connection."""
        if conn.is_closed:
            return
        self.poller.unregister(client)
        self.keepalived_conns.remove(conn)
        self._begin(conn)

    def murder_pending(self) -> None:
        """End connections that have exceeded a time limit."""
        now = time.monotonic()
        for conn in [conn for conn in self._lingering if conn.deadline <= now]:
            self._close(conn)
        for conn in [conn for conn in self._reading if self._is_late(conn, now)]:
            self._on_readable(conn, conn.sock)  # less may have arrived than it wakes for
            if conn not in self._reading or not self._is_late(conn, now):
                continue
            if not conn.incoming.is_begun:
                self._close(conn)
                continue
            part = "body" if conn.incoming.head else "head"
            self._refuse(
                conn,
                Refused(
                    HTTPStatus.REQUEST_TIMEOUT,
                    f"The {part} of the request did not arrive in time.",
                ),
            )

    def enqueue_req(self, conn: Any) -> None:
        """Give a request that has arrived to a thread of its kind."""
        pool: Executor = self._pools.get(conn.incoming.path) or self.tpool
        if conn.incoming.is_large and self._uploads is not None:
            pool = self._uploads
        elif conn.incoming.is_long_prediction and self._predictions is not None:
            pool = self._predictions
        conn.parser = http.get_parser(self.cfg, conn.incoming.pieces(), conn.client)
        conn.initialized = True
        future = pool.submit(self.handle, conn)
        future.add_done_callback(
            lambda done: self.method_queue.defer(self.finish_request, conn, done)
        )

    def handle_request(self, req: Any, conn: Any) -> bool:
        """Call the application and send its answer; return whether the connection may be kept.

        A client that reads nothing of the answer is dropped.
        """
        if conn.incoming.is_cut:
            req.force_close()
        self.cfg.pre_request(self, req)
        response, environ = wsgi.create(
            req, conn.sock, conn.client, conn.server, self.cfg, _Response
        )
        environ["wsgi.multithread"] = True
        if not self.alive or len(self.keepalived_conns) >= self.max_keepalived:
            response.force_close()
        try:
            self._send(self.wsgi(environ, response.start_response), response)
        except BlockingIOError:
            raise BrokenPipeError("The client does not read the answer.") from None
        except OSError:
            raise
        except (Exception, SystemExit):
            if not response.headers_sent:
                raise  # the answer is an error 500
            self.log.exception("Error handling request")
            util.close_graceful(conn.sock)
            return False
        return not response.should_close()

    @staticmethod
    def _send(answer: Any, response: "_Response") -> None:
        try:
            if isinstance(answer, wsgi.FileWrapper):
                response.write_file(answer)
            else:
                for piece in answer:
                    response.write(piece)
            response.close()
        finally:
            if hasattr(answer, "close"):
                answer.close()

    def finish_request(self, conn: Any, fs: "Future[Any]") -> None:
        """Read the next request of the connection, or close it."""
        conn.incoming.close()
        keep = not fs.cancelled() and fs.exception() is None and fs.result()
        if not keep:
            self._linger(conn)
        elif conn.incoming.rest:
            self._begin(conn)
        else:
            conn.sock.setblocking(False)
            conn.set_timeout()
            if not self.alive:
                conn.timeout = min(conn.timeout, time.monotonic() + STOP_KEEPALIVE_LINGER)
            self.keepalived_conns.append(conn)
            self._watch(conn, self.on_client_socket_readable)

    def _keepalive_after(self, conn: Any, keepalive: bool) -> bool:
        """Return whether another request may follow; the whole body has been received."""
        if not keepalive or not conn.parser.finish_body():
            return False
        # The parser found the same end of the request, or what follows is no request.
        unreader: Any = conn.parser.unreader
        left: bytes = unreader.buf.getvalue() or unreader.chunk()
        return not left

    def _begin(self, conn: "_Connection") -> None:
        """Begin to read a request, of which a part may be here already."""
        rest = bytes(conn.incoming.rest) if conn.incoming else b""
        conn.incoming = Incoming(self._settings, self._spool)
        now = time.monotonic()
        conn.heard = now
        conn.deadline = now + self.cfg.keepalive  # until the first byte
        conn.sock.setblocking(False)
        self._reading[conn] = None
        self._watch(conn, self._on_readable)
        if rest:
            self._feed(conn, rest)
        if conn in self._reading:
            self._on_readable(conn, conn.sock)

    def _on_readable(self, conn: "_Connection", client: socket.socket) -> None:
        """Read what has arrived of a request."""
        if conn in self._reading and (data := self._receive(conn, client)):
            self._feed(conn, data)

    def _receive(self, conn: "_Connection", client: socket.socket) -> bytes:
        """Return what has arrived, nothing if nothing has; close a connection that has ended."""
        try:
            data = client.recv(_RECEIVE_BYTES)
        except BlockingIOError:
            return b""
        except OSError:
            data = b""
        if not data:
            self._close(conn)
        return data

    def _feed(self, conn: "_Connection", data: bytes) -> None:
        incoming, had_head = conn.incoming, bool(conn.incoming.head)
        conn.heard = time.monotonic()
        if not incoming.is_begun:
            conn.deadline = conn.heard + self._settings.header_timeout
        try:
            incoming.feed(data)
        except Refused as refusal:
            self._refuse(conn, refusal)
            return
        if incoming.is_complete:
            del self._reading[conn]
            self.poller.unregister(conn.sock)
            conn.wake_at(1)
            self.enqueue_req(conn)
            return
        if incoming.head:
            conn.wake_at(min(incoming.missing, _RECEIVE_BYTES // 2))
        if incoming.head and not had_head:
            conn.deadline = conn.heard + self._settings.body_timeout
            if incoming.wants_continue:
                with contextlib.suppress(OSError):
                    conn.sock.send(_CONTINUE)

    def _is_late(self, conn: "_Connection", now: float) -> bool:
        if conn.incoming.is_begun:
            return now > min(conn.deadline, conn.heard + self._settings.idle_timeout)
        return now > (conn.deadline if self.alive else conn.heard + STOP_KEEPALIVE_LINGER)

    def _refuse(self, conn: "_Connection", refusal: Refused) -> None:
        """Answer a request that is not received to its end."""
        self.log.warning("%s %s", refusal.status.value, refusal)
        del self._reading[conn]
        self.poller.unregister(conn.sock)
        with contextlib.suppress(OSError):
            conn.sock.send(_answer(refusal, conn.incoming.path))
        conn.incoming.close()
        self._linger(conn)

    def _linger(self, conn: "_Connection") -> None:
        """Close a connection once the client has, so that the answer is not lost."""
        try:
            conn.sock.setblocking(False)
            conn.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._close(conn)
            return
        conn.deadline = time.monotonic() + _LINGER_SECONDS
        self._lingering[conn] = None
        self._watch(conn, self._on_leftover)

    def _on_leftover(self, conn: "_Connection", client: socket.socket) -> None:
        """Drop what a client still sends after its answer."""
        if conn in self._lingering:
            self._receive(conn, client)

    def _close_idle(self) -> bool:
        """Close the connection that can best be spared; return whether there was one."""
        waiting = (self._lingering, self.keepalived_conns, self._reading)
        found: _Connection | None = next((next(iter(some)) for some in waiting if some), None)
        if found is not None:
            self._close(found)
        return found is not None

    def _close(self, conn: "_Connection") -> None:
        self._reading.pop(conn, None)
        self._lingering.pop(conn, None)
        with contextlib.suppress(ValueError):
            self.keepalived_conns.remove(conn)
        with contextlib.suppress(KeyError, ValueError, OSError):
            self.poller.unregister(conn.sock)
        conn.incoming.close()
        conn.is_closed = True
        self.nr_conns -= 1
        conn.close()

    def _watch(self, conn: "_Connection", callback: Any) -> None:
        self.poller.register(conn.sock, selectors.EVENT_READ, partial(callback, conn))


class _Response(wsgi.Response):  # type: ignore[misc]
    """Sends the head and the first piece of the body at once, in one packet where it is short."""

    sock: Any

    def write(self, arg: bytes) -> None:
        """Send a piece of the body, after the head."""
        if self.headers_sent or len(arg) > _SENT_AT_ONCE:
            super().write(arg)
            return
        sock, self.sock = self.sock, _Pieces()
        try:
            super().write(arg)
        finally:
            pieces, self.sock = self.sock, sock
        sock.sendall(b"".join(pieces))


class _Pieces(list[bytes]):
    """What would be sent."""

    sendall = list.append


class _Connection(TConn):  # type: ignore[misc]
    """A connection, and the request that arrives on it."""

    incoming: Incoming = None  # type: ignore[assignment]  # set before anything is read
    deadline = 0.0  # by the monotonic clock: of the present head, body, or end
    heard = 0.0  # when the last byte arrived
    is_closed = False
    wakes_at = 1  # bytes

    def wake_at(self, size: int) -> None:
        """Let the loop wake once so many bytes have arrived.

        Each time that it wakes, the loop waits for the interpreter's lock, up to 5 ms.
        """
        if size != self.wakes_at:
            self.wakes_at = size
            with contextlib.suppress(OSError):
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, size)


def _answer(refusal: Refused, path: bytes) -> bytes:
    """Return a whole response in the form of all other errors (see api/errors.py)."""
    status, detail = refusal.status, str(refusal)
    request_id = secrets.token_hex(16)
    body = json.dumps(
        {
            "type": "about:blank",
            "title": status.phrase,
            "status": status.value,
            "detail": detail,
            "instance": path.decode("ascii", "replace"),
            "error": detail,
            "request_id": request_id,
        }
    ).encode()
    fields = {
        "Content-Type": "application/problem+json",
        "Content-Length": len(body),
        "Connection": "close",
        "X-Request-ID": request_id,
    }
    if refusal.retry_after is not None:
        fields["Retry-After"] = refusal.retry_after
    lines = [f"HTTP/1.1 {status.value} {status.phrase}", *(f"{k}: {v}" for k, v in fields.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
