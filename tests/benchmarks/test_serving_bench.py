"""The bench of predictions: its load, its tables and its bars."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pyarrow
import pytest

from benchmarks.serving import contestants
from benchmarks.serving.load import Request, ask, generate, read_wrk
from benchmarks.serving.tables import Cell, Figures, bars, report
from benchmarks.serving.version import COLUMNS, json_body, rows

WRK = """Running 2s test @ http://127.0.0.1:8000/predict
  1 threads and 8 connections
  Latency Distribution
     50%    1.52ms
     75%    2.01ms
     90%    3.00ms
     99%  840.00us
  2468 requests in 2.00s, 1.00MB read
Requests/sec:   1234.00
"""


class Handler(BaseHTTPRequestHandler):
    """Answers with the number of rows, or with 404."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        content = json.dumps(len(body["instances"])).encode()
        self.send_response(200 if self.path == "/predict" else 404)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    """Is silent about clients that leave before their answer."""

    def handle_error(self, *_: object) -> None:
        pass


@pytest.fixture
def port() -> Iterator[int]:
    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def test_a_load_counts_answers(port: int) -> None:
    request = Request("127.0.0.1", port, "/predict", json_body(3), "application/json")
    assert ask(request).endswith(b"\r\n\r\n3")
    found = generate(request, connections=2, seconds=0.05)
    assert found.requests > 0
    assert 0 < found.p50 <= found.p99


def test_a_refusal_is_no_answer(port: int) -> None:
    request = Request("127.0.0.1", port, "/other", json_body(1), "application/json")
    with pytest.raises(RuntimeError, match="404"):
        generate(request, connections=1, seconds=0.05)


def test_the_output_of_wrk_is_read() -> None:
    found = read_wrk(WRK)
    assert (found.requests, found.seconds) == (2468, 2.0)
    assert (found.p50, found.p99) == pytest.approx((1.52e-3, 840e-6))
    with pytest.raises(RuntimeError, match="Non-2xx"):
        read_wrk(WRK + "Non-2xx or 3xx responses: 3")


def test_all_bodies_hold_the_same_rows() -> None:
    expected = np.array(rows(4))
    assert json.loads(json_body(4))["instances"] == rows(4)
    (tensor,) = json.loads(contestants.tensor_body(4))["inputs"]
    assert (tensor["data"], tensor["shape"]) == (rows(4), [4, 10])
    table = pyarrow.ipc.open_stream(contestants.arrow_body(4)).read_all()
    assert tuple(table.column_names) == COLUMNS
    assert np.array_equal(np.column_stack([column.to_numpy() for column in table]), expected)
    assert contestants.npy_body(4).endswith(expected.tobytes())


def test_bars_compare_with_the_bare_route() -> None:
    def cell(rate: float) -> Cell:
        return Cell(rate, 0.001, 0.002, 0.0005)

    figures = Figures(
        cells={
            ("Luthier", 1, 8): cell(900),
            ("bare Flask + ONNX Runtime", 1, 8): cell(1000),
            ("LitServe", 1, 8): cell(1200),
            ("Luthier", 1000, 8): cell(90),
            ("bare Flask + ONNX Runtime", 1000, 8): cell(100),
            ("Luthier, NPY", 1000, 8): cell(120),
        },
        first_answer={"Luthier": 1.2},
        memory={"Luthier": 151_000_000},
        left_out={"MLflow": "mlflow is not installed"},
        rows_of_the_run=140_000.0,
    )
    assert [(bar.what, bar.measured, bar.is_met) for bar in bars(figures)] == [
        ("1 row, 8 connections ÷ bare Flask", "0.90", True),
        ("1,000 rows, 8 connections ÷ bare Flask", "0.90", False),
        ("1 row ÷ LitServe", "0.75", False),
        ("Luthier, NPY: rows ÷ those of the graph alone", "0.86", True),
        ("first answer", "1.20 s", True),
        ("memory", "151 MB", False),
    ]
    text = report(figures, "--rounds 1")
    assert "| 1 | 8 | Luthier | 900 | 900 | 0.90 | 1.00 ms | 2.00 ms | 0.50 ms |" in text
    assert "| memory | 151 MB | < 150 MB | **missed** |" in text
    assert "Left out: MLflow: mlflow is not installed" in text
