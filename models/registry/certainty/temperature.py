"""Temperature scaling: one number that makes probabilities as sure as they are right.

Guo et al., On calibration of modern neural networks, ICML 2017. The logarithms of a version's
probabilities are divided by the temperature, above 1 for a version that is too sure. It keeps the
order of the classes of a row. In place of logits, which the mean of several networks has not, the
logarithms of slightly smoothed probabilities are taken: (1 - SMOOTHING) * p + SMOOTHING / classes.
"""

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from scipy.optimize import minimize_scalar

from models.data.preparation.tasks import Task
from models.registry.certainty.rows import CalibrationRows
from models.registry.documents import Document
from models.registry.members import Members
from models.registry.onnx.model import SMOOTHING
from models.trials.metrics import log_losses
from models.trials.spec import DataRef

Array = np.ndarray[Any, Any]

MIN_ROWS = 50
MAX_ROWS = 10_000  # that it is fitted on
# Beyond the upper bound, a temperature makes the rounding of a probability near 1 visible.
BOUNDS = (1 / 3, 3.0)

OF_A_REGRESSION = "A regression has no probabilities."
WITH_CLASS_WEIGHTS = "Class weights distort the probabilities on purpose, which is left as it is."
OF_SEVERAL_SEEDS = (
    "The answer is the mean over several seeds of one trial, which is less sure than the one"
    " network whose answers were stored."
)
NO_BETTER = "No temperature is clearly better on rows that it was not fitted on."


@dataclass(frozen=True, slots=True)
class Temperature:
    """The temperature of a version, and how it was judged."""

    value: float | None = None  # None: probabilities stay as they are
    note: str | None = None  # why
    # The mean log loss of the halves that it was not fitted on, without and with it.
    unseen_before: float | None = None
    unseen_after: float | None = None

    def document(self) -> Document:
        """Return the evidence of it, for JSON."""
        judged = {"before": self.unseen_before, "after": self.unseen_after}
        return {
            "temperature": self.value,
            "temperature_note": self.note,
            "unseen": None if self.unseen_before is None else judged,
        }


def choose_temperature(rows: CalibrationRows, ref: DataRef, members: Members) -> Temperature:
    """Fit a temperature on calibration rows; there is none unless it is better on unseen ones.

    Each half of the rows judges, by the log loss, what was fitted on the other half. The mean gain
    must be above its standard error.
    """
    if ref.task is Task.REGRESSION:
        return Temperature(note=OF_A_REGRESSION)
    if ref.class_weight is not None:
        return Temperature(note=WITH_CLASS_WEIGHTS)
    if members.is_of_seeds:
        return Temperature(note=OF_SEVERAL_SEEDS)
    if len(rows.truth) < MIN_ROWS:
        few = f"{len(rows.truth)} rows are too few to fit a temperature: {MIN_ROWS} are needed."
        return Temperature(note=rows.note or few)
    return fitted(rows.truth, rows.answers)


def fitted(truth: Array, probabilities: Array) -> Temperature:
    """Choose the temperature of probabilities (rows, classes) of the class numbers `truth`."""
    order = np.random.default_rng(0).permutation(len(truth))[:MAX_ROWS]
    halves = order[::2], order[1::2]
    plain, with_it = [], []
    for seen, rest in (halves, halves[::-1]):
        found = _best(truth[seen], probabilities[seen])
        plain.append(log_losses(truth[rest], probabilities[rest]))
        with_it.append(log_losses(truth[rest], tempered(probabilities[rest], found)))
    before, after = np.concatenate(plain), np.concatenate(with_it)
    unseen = float(before.mean()), float(after.mean())
    gains = before - after
    # One standard error: what is less may be chance.
    if not gains.mean() > gains.std() / np.sqrt(len(gains)):
        return Temperature(None, NO_BETTER, *unseen)
    return Temperature(float(f"{_best(truth[order], probabilities[order]):.4g}"), None, *unseen)


def tempered(probabilities: Array, temperature: float | None) -> Array:
    """Return float64 probabilities (rows, classes) at a temperature; None changes nothing."""
    if temperature is None:
        return probabilities
    classes = probabilities.shape[1]
    smooth = probabilities.astype(np.float64) * (1 - SMOOTHING) + SMOOTHING / classes
    powers = np.exp(np.log(smooth / smooth.max(axis=1, keepdims=True)) / temperature)
    shares: Array = powers / powers.sum(axis=1, keepdims=True)
    return shares


def untempered(answers: Array, temperature: float) -> Array:
    """Return the probabilities that `tempered` took; only rounding is lost."""
    logs = np.log(np.maximum(answers.astype(np.float64), np.finfo(np.float32).tiny)) * temperature
    powers = np.exp(logs - logs.max(axis=1, keepdims=True))
    smooth = powers / powers.sum(axis=1, keepdims=True)
    found: Array = (smooth - SMOOTHING / answers.shape[1]) / (1 - SMOOTHING)
    return np.clip(found, 0.0, 1.0)


def with_temperature(network: keras.Model, temperature: float | None) -> keras.Model:
    """Append a temperature to a network of classes, of Keras's own layers and operations."""
    if temperature is None:
        return network
    (given,) = network.outputs
    units = given.shape[-1]
    smoothing = keras.layers.Rescaling(1 - SMOOTHING, SMOOTHING / max(2, units), name="smoothing")
    logits = keras.ops.log(smoothing(given))
    if units == 1:
        other = keras.layers.Rescaling(-1.0, 1.0, name="other_class")(given)
        logits = keras.layers.Subtract(name="log_odds")([logits, keras.ops.log(smoothing(other))])
    cooled = keras.layers.Rescaling(1 / temperature, name="temperature")(logits)
    activation = "sigmoid" if units == 1 else "softmax"
    answer = keras.layers.Activation(activation, name="calibrated")(cooled)
    inputs = network.inputs if len(network.inputs) > 1 else network.inputs[0]
    return keras.Model(inputs, answer, name=network.name)


def _best(truth: Array, probabilities: Array) -> float:
    """Return the temperature of the least log loss."""
    low, high = np.log(BOUNDS)

    def loss(logarithm: float) -> float:
        return float(log_losses(truth, tempered(probabilities, float(np.exp(logarithm)))).mean())

    found = minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-4})
    return float(np.exp(found.x))
