"""A bare Flask route with ONNX Runtime, and one that computes nothing."""

from flask import Flask, jsonify, request
from flask.typing import ResponseReturnValue

from benchmarks.serving.apps.graph import Graph

app = Flask(__name__)
graph = Graph()


@app.post("/predict")
def predict() -> ResponseReturnValue:
    """Run the graph on rows of numbers."""
    return jsonify(predictions=graph.run(request.get_json()["instances"]).tolist())


@app.post("/nothing")
def nothing() -> ResponseReturnValue:
    """Read the body and compute nothing."""
    return jsonify(predictions=[0.0] * len(request.get_json()["instances"]))
