"""Closed-loop load in a process of its own: `wrk` where it is installed, a generator otherwise.

`python -m benchmarks.serving.load` reads its task from standard input and prints what it measured,
both as JSON.
"""

import json
import re
import selectors
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

_RECEIVE = 256 * 1024  # bytes
_PATIENCE = 30.0  # seconds for a first answer, beyond those of the load
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:[ \t]*chunked", re.IGNORECASE)
_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}


@dataclass(frozen=True)
class Measured:
    """What a load of some seconds found."""

    requests: int
    seconds: float
    p50: float  # seconds
    p99: float


@dataclass(frozen=True)
class Request:
    """One request that is sent again and again."""

    host: str
    port: int
    path: str
    body: bytes
    media_type: str
    accept: str = "*/*"

    @property
    def content(self) -> bytes:
        """The bytes that are sent."""
        head = (
            f"POST {self.path} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\n"
            f"Accept: {self.accept}\r\nContent-Type: {self.media_type}\r\n"
            f"Content-Length: {len(self.body)}\r\n\r\n"
        )
        return head.encode() + self.body


def apply_load(request: Request, connections: int, seconds: float) -> Measured:
    """Let so many connections each ask again once they are answered, from another process.

    Raises RuntimeError for an answer that is not 200.
    """
    if wrk := shutil.which("wrk"):
        return _by_wrk(wrk, request, connections, seconds)
    task = asdict(request) | {"body": request.body.hex()}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.serving.load"],
        input=json.dumps([task, connections, seconds]),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr.strip().rpartition("\n")[2])
    return Measured(**json.loads(done.stdout))


def ask(request: Request) -> bytes:
    """Send the request once; return the answer, raise OSError or RuntimeError without one."""
    with socket.create_connection((request.host, request.port), timeout=60) as connection:
        connection.sendall(request.content)
        answer = b""
        while not is_whole(answer):
            piece = connection.recv(_RECEIVE)
            if not piece:
                raise ConnectionResetError("The answer ended early.")
            answer += piece
    return answer


def is_whole(answer: bytes) -> bool:
    """Return whether an answer has arrived to its end; raise RuntimeError unless it is 200."""
    head, end, body = answer.partition(b"\r\n\r\n")
    if not end:
        return False
    if b" 200 " not in head[:16]:
        raise RuntimeError(answer[:300].decode("latin-1"))
    if _CHUNKED.search(head):
        return body.endswith(b"0\r\n\r\n")
    found = _LENGTH.search(head)
    return found is not None and len(body) >= int(found[1])


def generate(request: Request, connections: int, seconds: float) -> Measured:
    """Apply the load from this process, with one thread; raises as `apply_load`."""
    with ExitStack() as opened:
        clients = [
            opened.enter_context(socket.create_connection((request.host, request.port)))
            for _ in range(connections)
        ]
        selector = opened.enter_context(selectors.DefaultSelector())
        for client in clients:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            selector.register(client, selectors.EVENT_READ)
        began = time.perf_counter()
        waits = sorted(_repeat(request.content, clients, selector, began + seconds))
        took = time.perf_counter() - began
    return Measured(len(waits), took, waits[len(waits) // 2], waits[len(waits) * 99 // 100])


def _repeat(
    content: bytes, clients: list[socket.socket], selector: selectors.BaseSelector, end: float
) -> Iterator[float]:
    """Send `content` by each client whenever it is answered; yield the seconds of each answer."""
    answers = dict.fromkeys(clients, b"")
    sent = dict.fromkeys(clients, time.perf_counter())
    is_answered = False
    for client in clients:
        client.sendall(content)
    while (now := time.perf_counter()) < end or not is_answered:
        if now > end + _PATIENCE:
            raise RuntimeError("No answer came in time.")
        for key, _ in selector.select(max(0.1, end - now)):
            client = cast(socket.socket, key.fileobj)
            piece = client.recv(_RECEIVE)
            if not piece:
                raise ConnectionResetError("The server closed a connection.")
            answers[client] += piece
            if is_whole(answers[client]):
                is_answered, now = True, time.perf_counter()
                yield now - sent[client]
                answers[client], sent[client] = b"", now
                client.sendall(content)


def _by_wrk(wrk: str, request: Request, connections: int, seconds: float) -> Measured:
    with tempfile.TemporaryDirectory() as folder:
        body, script = Path(folder) / "body", Path(folder) / "post.lua"
        body.write_bytes(request.body)
        script.write_text(
            f'wrk.method = "POST"\nwrk.body = io.open({json.dumps(str(body))}, "rb"):read("*a")\n'
            f'wrk.headers["Content-Type"] = "{request.media_type}"\n'
            f'wrk.headers["Accept"] = "{request.accept}"\n'
        )
        address = f"http://{request.host}:{request.port}{request.path}"
        command = [wrk, "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--latency"]
        text = subprocess.run(
            [*command, "-s", str(script), address], capture_output=True, text=True, check=True
        ).stdout
    return read_wrk(text)


def read_wrk(text: str) -> Measured:
    """Read what `wrk --latency` prints; raise RuntimeError if an answer was not 2xx."""
    if "Non-2xx" in text or "Socket errors" in text:
        raise RuntimeError(text)
    requests, seconds, unit = re.search(r"(\d+) requests in ([\d.]+)(\w+)", text).groups()  # type: ignore[union-attr]
    quantiles = {
        name: float(value) * _UNITS[scale]
        for name, value, scale in re.findall(r"(50|99)%\s+([\d.]+)(us|ms|s|m)\b", text)
    }
    took = float(seconds) * _UNITS[unit]
    return Measured(int(requests), took, quantiles["50"], quantiles["99"])


if __name__ == "__main__":
    sent, at_once, how_long = json.load(sys.stdin)
    wanted = Request(**(sent | {"body": bytes.fromhex(sent["body"])}))
    print(json.dumps(asdict(generate(wanted, at_once, how_long))))
