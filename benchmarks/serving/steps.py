"""The CPU time of one prediction in the API process, step by step.

`python -m benchmarks.serving.steps --data FOLDER` calls the real WSGI application in a loop, beside
a bare Flask route with ONNX Runtime on the same graph and a route that computes nothing. A step's
time excludes that of the steps inside it. Rounds are short and the quickest counts, so that other
work of the machine matters little.
"""

import argparse
import gc
import io
import logging
import os
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.serving.version import graph_of, json_body, train
from models.settings import Settings
from models.telemetry import configure_logging

Application = Callable[[dict[str, Any], Callable[..., Any]], Any]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="the data folder of a service; it is kept")
    parser.add_argument("--rows", type=int, default=1)
    parser.add_argument("--calls", type=int, default=0, help="of each in a round")
    parser.add_argument("--rounds", type=int, default=60)
    options = parser.parse_args()
    calls = options.calls or max(3, 20 // options.rows)
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.data or Path(temporary) / "data"
        train(folder)
        (Path(temporary) / "metrics").mkdir()
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(Path(temporary) / "metrics")
        with (Path(temporary) / "log").open("w") as log:
            report(folder, Path(temporary), log, options.rows, calls, options.rounds)


def report(folder: Path, temporary: Path, log: Any, rows: int, calls: int, rounds: int) -> None:
    """Measure the three applications in alternating rounds, then the steps of Luthier."""
    graph = temporary / "model.onnx"
    graph.write_bytes(graph_of(folder))
    os.environ["MODEL"] = str(graph)
    from api.app import create_app
    from benchmarks.serving.apps import flask_app

    with luthier_log(log):
        application = create_app(Settings(data=str(folder), bind="127.0.0.1:8000"))
        body = json_body(rows)
        not_plain = {"HTTP_ACCEPT": "application/json;q=0.9"}
        routes: dict[str, tuple[Application, str, dict[str, str]]] = {
            "Luthier": (application, "/predict", {}),
            "Luthier through Flask": (application, "/predict", not_plain),
            "bare Flask + ONNX Runtime": (flask_app.app, "/predict", {}),
            "empty Flask route": (flask_app.app, "/nothing", {}),
        }
        best: dict[str, float] = defaultdict(lambda: float("inf"))
        for _ in range(rounds):
            for name, (route, path, headers) in routes.items():
                best[name] = min(best[name], seconds_of(route, path, body, calls, headers))
        watch = Stopwatch()
        watch_steps(watch)
        least: dict[str, float] = defaultdict(lambda: float("inf"))
        for _ in range(rounds):
            watch.seconds.clear()
            seconds_of(application, "/predict", body, calls, {})
            for step, seconds in watch.seconds.items():
                least[step] = min(least[step], seconds / (calls + 1))
    show(best, least, rows)


class luthier_log:  # noqa: N801  # a context manager that is used like a function
    """Send log lines of the block to a file, as the service does to standard error."""

    def __init__(self, file: Any) -> None:
        self._file, self._kept = file, sys.stderr

    def __enter__(self) -> None:
        sys.stderr = self._file
        configure_logging("INFO", "text")

    def __exit__(self, *_: object) -> None:
        sys.stderr = self._kept
        logging.shutdown()


def seconds_of(
    application: Application, path: str, body: bytes, calls: int, headers: dict[str, str]
) -> float:
    """Return the CPU seconds of this thread for each call."""
    call(application, path, body, headers)
    gc.collect()
    began = time.thread_time()
    for _ in range(calls):
        call(application, path, body, headers)
    return (time.thread_time() - began) / calls


def call(application: Application, path: str, body: bytes, headers: dict[str, str]) -> None:
    """Post a body as gunicorn does; raise RuntimeError for another answer than 200."""
    statuses: list[str] = []
    sent = environ(path, body) | headers
    answer = application(sent, lambda status, *_: statuses.append(status))
    content = b"".join(answer)
    if hasattr(answer, "close"):
        answer.close()
    if not statuses[0].startswith("200"):
        raise RuntimeError(f"{path}: {statuses[0]}: {content[:300]!r}")


def environ(path: str, body: bytes) -> dict[str, Any]:
    """Return the WSGI environment of a POST request."""
    return {
        "REQUEST_METHOD": "POST",
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8000",
        "REMOTE_ADDR": "127.0.0.1",
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(body)),
        "HTTP_HOST": "127.0.0.1:8000",
        "HTTP_ACCEPT": "*/*",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }


class Stopwatch:
    """Adds up the CPU seconds of named steps; those inside a step are not part of it."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._inner: list[float] = [0.0]

    def wrap(self, step: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function with a stopwatch."""

        def timed(*arguments: Any, **named: Any) -> Any:
            self._inner.append(0.0)
            began = time.thread_time()
            try:
                return function(*arguments, **named)
            finally:
                whole = time.thread_time() - began
                self.seconds[step] += whole - self._inner.pop()
                self._inner[-1] += whole

        return timed


def watch_steps(watch: Stopwatch) -> None:
    """Put a stopwatch on each step of a plain prediction."""
    from api import plain_predictions
    from api.hooks import auth, request_log
    from models.serving.engine import LoadedVersion, PredictionEngine
    from models.serving.routing import RoutingTable
    from models.serving.signature import Signature

    for owner, name, step in (
        (request_log._Identified, "__call__", "request id"),
        (plain_predictions.PlainPredictions, "__call__", "the rest"),
        (plain_predictions.PlainPredictions, "_send", "headers and answer"),
        (plain_predictions, "parse_json", "JSON of the body"),
        (plain_predictions, "is_plain", "fields of the body"),
        (plain_predictions, "prediction_body", "fields of the answer"),
        (auth, "admits", "key and host"),
        (request_log, "record", "metrics of the request, log line"),
        (RoutingTable, "resolve", "alias"),
        (PredictionEngine, "load", "loaded version"),
        (Signature, "feed", "rows to inputs"),
        (LoadedVersion, "answer", "ONNX Runtime"),
    ):
        setattr(owner, name, watch.wrap(step, getattr(owner, name)))


def show(best: dict[str, float], steps: dict[str, float], rows: int) -> None:
    """Print microseconds of each application and of each step, of its quickest round."""
    console = Console()
    table = Table("CPU of a call", "µs", "÷ bare")
    bare = best["bare Flask + ONNX Runtime"]
    for name, seconds in best.items():
        table.add_row(name, f"{1e6 * seconds:,.0f}", f"{seconds / bare:.2f}")
    console.print(table)
    table = Table(f"step, {rows} rows", "µs")
    for name, seconds in sorted(steps.items(), key=lambda step: -step[1]):
        table.add_row(name, f"{1e6 * seconds:,.1f}")
    console.print(table)


if __name__ == "__main__":
    main()
