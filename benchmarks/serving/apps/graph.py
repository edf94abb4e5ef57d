"""The graph of the version on rows of numbers, as all servers but Luthier call it.

`python -m benchmarks.serving.apps.graph ROWS` prints the rows that it predicts in a second.
"""

import os
import sys
import time
from typing import Any

import numpy as np
import onnxruntime


class Graph:
    """An ONNX Runtime session with one thread."""

    def __init__(self, path: str | None = None) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            path or os.environ["MODEL"], options, providers=["CPUExecutionProvider"]
        )
        # Cells of a column are (rows,), or (rows, 1) where it is the only one.
        self._ranks = {entry.name: len(entry.shape) for entry in self._session.get_inputs()}

    def run(self, rows: Any) -> Any:
        """Return the predictions (rows,) of what NumPy reads as (rows, columns)."""
        array = np.asarray(rows, dtype=np.float64)
        feed = {
            name: array[:, place] if rank == 1 else array[:, place : place + 1]
            for place, (name, rank) in enumerate(self._ranks.items())
        }
        return self._session.run(None, feed)[0][:, 0]


def rows_a_second(count: int, repeats: int = 41) -> float:
    """Return the median rate of calls with so many rows."""
    from benchmarks.serving.version import rows

    graph, table = Graph(), np.array(rows(count))
    took = []
    for _ in range(repeats):
        began = time.perf_counter()
        graph.run(table)
        took.append(time.perf_counter() - began)
    return count / sorted(took)[repeats // 2]


if __name__ == "__main__":
    print(rows_a_second(int(sys.argv[1])))
