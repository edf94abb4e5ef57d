"""The baseline of `serving.py`: a Keras model behind Flask, as a tutorial would do it."""

import os

import keras
import numpy as np
from flask import Flask, jsonify, request
from flask.typing import ResponseReturnValue

app = Flask(__name__)
model = keras.models.load_model(os.environ["MODEL"])


@app.get("/ready")
def ready() -> ResponseReturnValue:
    """Answer once the model is loaded."""
    return jsonify(ready=True)


@app.post("/predict")
def predict() -> ResponseReturnValue:
    """Predict with `model.predict`."""
    return jsonify(predictions=model.predict(_rows(), verbose=0)[:, 0].tolist())


@app.post("/call")
def call() -> ResponseReturnValue:
    """Predict by calling the model."""
    return jsonify(predictions=model(_rows(), training=False).numpy()[:, 0].tolist())


@app.post("/nothing")
def nothing() -> ResponseReturnValue:
    """Read the body and compute nothing."""
    return jsonify(predictions=[0.0] * len(_rows()))


def _rows() -> np.ndarray:
    return np.asarray(request.get_json()["instances"], dtype=np.float32)
