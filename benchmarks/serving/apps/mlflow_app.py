"""MLflow with ONNX Runtime: `python -m benchmarks.serving.apps.mlflow_app FOLDER` saves a model."""

import sys
from typing import Any

import mlflow
import numpy as np

from benchmarks.serving.apps.graph import Graph


class Predictor(mlflow.pyfunc.PythonModel):
    """Runs the graph on rows of numbers."""

    def load_context(self, context: Any) -> None:
        """Load the graph."""
        self.graph = Graph(context.artifacts["graph"])

    def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
        """Return a number a row."""
        return self.graph.run(np.asarray(model_input))


if __name__ == "__main__":
    import os

    from benchmarks.serving.apps.mlflow_app import Predictor as Named  # not that of __main__

    mlflow.pyfunc.save_model(
        sys.argv[1],
        python_model=Named(),
        artifacts={"graph": os.environ["MODEL"]},
        pip_requirements=[],  # or it looks for them by loading the model
    )
