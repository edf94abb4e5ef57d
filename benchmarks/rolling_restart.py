"""A rolling restart under load: two API processes behind a loopback load balancer.

`python -m benchmarks.rolling_restart --data FOLDER --model NAME` runs two `luthier api` over a
data folder that has a model, lets clients ask through the balancer, ends each process in turn by
SIGTERM, starts it anew, and prints what the clients saw. The balancer looks at `/readyz` and
retries nothing. A process may end once the balancer has passed it by and its connections are gone.
"""

import argparse
import asyncio
import http.client
import itertools
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

CLIENTS = 4
DRAIN_SECONDS = 600.0  # a second SIGTERM ends it
PATIENCE = 600.0  # seconds; a guard against hanging
MIN_ANSWERS = 100
LOOK_EVERY = 0.1  # seconds between two looks at `/readyz`
THINK_SECONDS = 0.005  # between a client's requests, so that the clients do not starve the servers


@dataclass
class Seen:
    """What the clients saw."""

    seconds: list[float] = field(default_factory=list)  # of each answered request
    failures: list[str] = field(default_factory=list)
    servers: set[str] = field(default_factory=set)  # backends that were sent connections


class Balancer:
    """Passes bytes on, each connection to the next backend that was ready at the last look."""

    def __init__(self, backends: Sequence[str]) -> None:
        self.ready: dict[str, bool] = dict.fromkeys(backends, False)
        self.used: set[str] = set()
        self.connections: Counter[str] = Counter()  # that are open, by backend
        self.bind = ""
        self._turns = itertools.count()

    @contextmanager
    def running(self) -> Iterator["Balancer"]:
        """Listen on a loopback port in a thread of its own."""
        loop = asyncio.new_event_loop()
        listening = threading.Event()
        main = loop.create_task(self._serve(listening))

        def run() -> None:
            with suppress(asyncio.CancelledError):
                loop.run_until_complete(main)
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()

        thread = threading.Thread(target=run)
        thread.start()
        listening.wait()
        try:
            yield self
        finally:
            loop.call_soon_threadsafe(main.cancel)
            thread.join()

    def is_past(self, backend: str) -> bool:
        """Return whether nothing is sent to a backend any more, nor will be until it is ready."""
        return not self.ready[backend] and not self.connections[backend]

    def are_ready(self) -> bool:
        """Return whether every backend was ready at the last look."""
        return all(self.ready.values())

    async def _serve(self, listening: threading.Event) -> None:
        server = await asyncio.start_server(self._pass_on, "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()
        self.bind = f"{host}:{port}"
        async with server, asyncio.TaskGroup() as looks:
            for backend in self.ready:
                looks.create_task(self._look_at(backend))
            listening.set()

    async def _look_at(self, backend: str) -> None:
        while True:
            try:
                reader, writer = await _connect(backend)
                writer.write(f"GET /readyz HTTP/1.0\r\nHost: {backend}\r\n\r\n".encode())
                self.ready[backend] = b" 200 " in await reader.readline()
                writer.close()
            except OSError:
                self.ready[backend] = False
            await asyncio.sleep(LOOK_EVERY)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ready = [backend for backend, is_ready in self.ready.items() if is_ready]
        with suppress(OSError):
            backend = ready[next(self._turns) % len(ready)] if ready else ""
            self.used.add(backend)
            self.connections[backend] += 1
            try:
                to_reader, to_writer = await _connect(backend)
                await asyncio.gather(_copy(reader, to_writer), _copy(to_reader, writer))
            finally:
                self.connections[backend] -= 1
        writer.close()


async def _connect(address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, _, port = address.partition(":")
    return await asyncio.open_connection(host, int(port or 0))


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while content := await source.read(65536):
            target.write(content)
            await target.drain()
    target.close()


def restart_in_turn(model: str, instance: Sequence[object], **settings: object) -> Seen:
    """Restart both of two API processes with these settings while clients ask through a balancer.

    The database must have a version of `model` that predicts `instance`.
    """
    binds = [_free_bind(), _free_bind()]
    with ExitStack() as stack:
        processes = {bind: _start(stack, bind, settings) for bind in binds}
        balancer = stack.enter_context(Balancer(binds).running())
        _wait_for(balancer.are_ready, *processes.values())
        stop, seen = threading.Event(), Seen()
        body = json.dumps({"model": model, "instances": [instance]}).encode()
        clients = [
            threading.Thread(target=_ask, args=(balancer.bind, body, stop, seen))
            for _ in range(CLIENTS)
        ]
        for client in clients:
            client.start()
        try:
            for bind in binds:
                processes[bind].terminate()
                _wait_for(partial(balancer.is_past, bind))
                processes[bind].terminate()
                processes[bind].wait()
                _wait_for(balancer.are_ready, _start(stack, bind, settings))
            _wait_for(lambda: len(seen.seconds) + len(seen.failures) >= MIN_ANSWERS)
        finally:
            stop.set()
            for client in clients:
                client.join()
        seen.servers = balancer.used
        return seen


def _ask(bind: str, body: bytes, stop: threading.Event, seen: Seen) -> None:
    """Predict and list in turns on a connection that is kept as long as the server keeps it."""
    connection = http.client.HTTPConnection(bind, timeout=PATIENCE)
    requests = itertools.cycle([("POST", "/predict", body), ("GET", "/models", None)])
    while not stop.is_set():
        method, path, content = next(requests)
        began = time.perf_counter()
        try:
            connection.request(method, path, content, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            answer.read()
            if answer.status == 200:
                seen.seconds.append(time.perf_counter() - began)
            else:
                seen.failures.append(f"{method} {path}: {answer.status}")
        except (OSError, http.client.HTTPException) as error:
            seen.failures.append(f"{method} {path}: {error!r}")
            connection.close()
        time.sleep(THINK_SECONDS)
    connection.close()


def _start(stack: ExitStack, bind: str, settings: dict[str, object]) -> "subprocess.Popen[bytes]":
    """`luthier api`, ended at the latest with the stack."""
    given = {"bind": bind, "drain_seconds": DRAIN_SECONDS, "log_level": "WARNING", **settings}
    kept = {key: text for key, text in os.environ.items() if not key.startswith("LUTHIER_")}
    own = {f"LUTHIER_{name.upper()}": str(value) for name, value in given.items()}
    process = subprocess.Popen([sys.executable, "-m", "luthier", "api"], env=kept | own)

    def end() -> None:
        # Again, so that it does not drain; two signals at once may arrive as one.
        while process.poll() is None:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(1)

    stack.callback(end)
    return process


def _wait_for(condition: Callable[[], bool], *needed: "subprocess.Popen[bytes]") -> None:
    """Return once `condition` holds; raise if a process that is needed ends before."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if any(process.poll() is not None for process in needed):
            raise RuntimeError("A process has ended.")
        if time.monotonic() > deadline:
            raise TimeoutError(f"It was not so within {PATIENCE:g} s.")
        time.sleep(LOOK_EVERY)


def _free_bind() -> str:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return f"127.0.0.1:{probe.getsockname()[1]}"


def main() -> None:
    """Print what the clients saw."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--data", type=Path, required=True)
    arguments.add_argument("--model", required=True)
    arguments.add_argument("--instance", type=json.loads, required=True, help="one row, as JSON")
    options = arguments.parse_args()
    seen = restart_in_turn(options.model, options.instance, data=options.data)
    print(f"{len(seen.seconds) + len(seen.failures)} requests, {len(seen.failures)} failures")
    print(f"slowest answer: {1000 * max(seen.seconds):.0f} ms")
    for failure in sorted(set(seen.failures)):
        print(failure)


if __name__ == "__main__":
    main()
