"""BentoML with ONNX Runtime."""

import bentoml

from benchmarks.serving.apps.graph import Graph


@bentoml.service(workers=1)
class Predictor:
    """Runs the graph on rows of numbers."""

    def __init__(self) -> None:
        self.graph = Graph()

    @bentoml.api
    def predict(self, instances: list[list[float]]) -> list[float]:
        """Return a number a row."""
        return self.graph.run(instances).tolist()
