"""What is compared: how each server is started, and the requests that it takes."""

import io
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.serving.version import MODEL, json_body, rows

_APPS = "benchmarks.serving.apps"
NPY = "application/x-npy"
ARROW = "application/vnd.apache.arrow.stream"


@dataclass(frozen=True)
class Contestant:
    """A server with one process, which answers with the same graph."""

    name: str
    command: Callable[[int, Path], list[str]]  # of a port and a folder of its own
    path: str = "/predict"
    body: Callable[[int], bytes] = json_body  # of so many rows
    media_type: str = "application/json"
    accept: str = "*/*"
    package: str | None = None  # that must be installed beside ONNX Runtime
    server: str = ""  # contestants with the same one share a process
    environment: dict[str, str] = field(default_factory=dict)


LUTHIER, BARE, EMPTY = "Luthier", "bare Flask + ONNX Runtime", "empty Flask route"


def contestants(peers: str, data: Path, threads: int) -> list[Contestant]:
    """List them; `peers` is the interpreter that has the other model servers.

    `data` is the folder of a service with the version. `threads` are those of each Flask server.
    """
    flask = _flask(sys.executable, threads)
    service = {"LUTHIER_DATA": str(data), "LUTHIER_API_THREADS": str(threads)}
    luthier = dict(server="luthier", environment=service)
    table = f"/predict?model={MODEL}"
    return [
        Contestant(LUTHIER, _luthier, **luthier),  # type: ignore[arg-type]
        Contestant("Luthier, NPY", _luthier, table, npy_body, NPY, NPY, **luthier),  # type: ignore[arg-type]
        Contestant("Luthier, Arrow", _luthier, table, arrow_body, ARROW, **luthier),  # type: ignore[arg-type]
        Contestant(BARE, flask, server="flask"),
        Contestant(EMPTY, flask, "/nothing", server="flask"),
        Contestant(
            "FastAPI + ONNX Runtime",
            lambda port, _: [
                *(peers, "-m", "uvicorn", f"{_APPS}.fastapi_app:app"),
                *("--port", str(port), "--log-level", "warning", "--no-access-log"),
            ],
            package="fastapi",
        ),
        Contestant(
            "LitServe",
            lambda port, _: [peers, "-m", f"{_APPS}.litserve_app", str(port)],
            package="litserve",
        ),
        Contestant(
            "BentoML",
            lambda port, _: [
                *(peers, "-m", "bentoml", "serve", f"{_APPS}.bentoml_app:Predictor"),
                *("--host", "127.0.0.1", "--port", str(port)),
            ],
            package="bentoml",
        ),
        Contestant(
            "MLServer",
            lambda port, folder: _mlserver(peers, port, folder),
            f"/v2/models/{MODEL}/infer",
            tensor_body,
            package="mlserver",
        ),
        Contestant(
            "MLflow",
            lambda port, folder: _mlflow(peers, port, folder),
            "/invocations",
            lambda count: json.dumps({"inputs": rows(count)}).encode(),
            package="mlflow",
        ),
    ]


def npy_body(count: int) -> bytes:
    """Return rows in the format of `numpy.save`."""
    file = io.BytesIO()
    np.save(file, np.array(rows(count)))
    return file.getvalue()


def arrow_body(count: int) -> bytes:
    """Return rows as a stream of Arrow."""
    import pyarrow

    from benchmarks.serving.version import COLUMNS

    columns = dict(zip(COLUMNS, np.array(rows(count)).T, strict=True))
    table = pyarrow.table(columns)
    with io.BytesIO() as file:
        with pyarrow.ipc.new_stream(file, table.schema) as writer:
            writer.write_table(table)
        return file.getvalue()


def tensor_body(count: int) -> bytes:
    """Return rows as the Open Inference Protocol has them."""
    found = rows(count)
    tensor = {"name": "rows", "shape": [count, len(found[0])], "datatype": "FP64", "data": found}
    return json.dumps({"inputs": [tensor]}).encode()


def _luthier(port: int, _: Path) -> list[str]:
    return [sys.executable, "-m", "luthier", "api"]


def _flask(python: str, threads: int) -> Callable[[int, Path], list[str]]:
    return lambda port, _: [
        *(python, "-m", "gunicorn", "-b", f"127.0.0.1:{port}", "-k", "gthread"),
        *("--threads", str(threads), "--no-control-socket", f"{_APPS}.flask_app:app"),
    ]


def _mlserver(python: str, port: int, folder: Path) -> list[str]:
    model = {"name": MODEL, "implementation": f"{_APPS}.mlserver_app.Predictor"}
    (folder / "model-settings.json").write_text(json.dumps(model))
    ports = {"http_port": port, "grpc_port": port + 1, "metrics_port": port + 2}
    quiet = {"host": "127.0.0.1", "parallel_workers": 0, "debug": False, "metrics_endpoint": None}
    (folder / "settings.json").write_text(json.dumps(ports | quiet))
    return [python, "-m", "mlserver.cli.main", "start", str(folder)]


def _mlflow(python: str, port: int, folder: Path) -> list[str]:
    model = folder / "model"
    command = [python, "-m", f"{_APPS}.mlflow_app", str(model)]
    subprocess.run(command, check=True, capture_output=True)
    serve = [python, "-m", "mlflow", "models", "serve", "-m", str(model)]
    return [*serve, "-h", "127.0.0.1", "-p", str(port), "--env-manager", "local", "-w", "1"]
