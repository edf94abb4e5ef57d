"""LitServe with ONNX Runtime: `python -m benchmarks.serving.apps.litserve_app PORT`."""

import sys
from typing import Any

import litserve

from benchmarks.serving.apps.graph import Graph


class Predictor(litserve.LitAPI):
    """Runs the graph on rows of numbers."""

    def setup(self, device: str) -> None:
        """Load the graph."""
        self.graph = Graph()

    def decode_request(self, request):  # type: ignore[no-untyped-def]
        """Return the rows of a body; LitServe takes an annotation for a form of the body."""
        return request["instances"]

    def predict(self, rows: Any) -> Any:
        """Return a number a row."""
        return self.graph.run(rows)

    def encode_response(self, predictions: Any) -> Any:
        """Return the body of the answer."""
        return {"predictions": predictions.tolist()}


if __name__ == "__main__":
    server = litserve.LitServer(Predictor(), accelerator="cpu", workers_per_device=1)
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False)
