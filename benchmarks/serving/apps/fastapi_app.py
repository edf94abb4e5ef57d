"""FastAPI with ONNX Runtime."""

from fastapi import FastAPI
from pydantic import BaseModel

from benchmarks.serving.apps.graph import Graph

app = FastAPI()
graph = Graph()


class Rows(BaseModel):
    """The body of a request."""

    instances: list[list[float]]


@app.post("/predict")
def predict(body: Rows) -> dict[str, list[float]]:
    """Run the graph on rows of numbers."""
    return {"predictions": graph.run(body.instances).tolist()}
