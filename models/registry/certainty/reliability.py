"""How well probabilities agree with what happens: reliability curve, ECE and Brier score."""

from typing import Any

import numpy as np

from models.registry.documents import Document
from models.trials.metrics import class_probabilities, log_loss

Array = np.ndarray[Any, Any]

MAX_BINS = 15
ROWS_PER_BIN = 10  # at least


def reliability_document(truth: Array, answers: Array, positive: int | None) -> Document | None:
    """Compare probabilities (rows, classes) with class numbers, (rows,).

    Of two classes, the probability of `positive`, or of the second, is compared with the share of
    its rows. Of several, that of the most probable class is compared with how often it is right.
    The expected calibration error (Naeini et al., AAAI 2015) is the mean distance over bins of
    equal numbers of rows; rows of equal probability share a bin. The Brier score is the mean square
    of the error, over several classes their sum. None without rows or for answers that are not
    finite.
    """
    if not len(truth) or not np.isfinite(answers).all():
        return None
    probabilities = class_probabilities(answers)
    classes = probabilities.shape[1]
    if classes == 2:
        column = 1 if positive is None else positive
        given = probabilities[:, column]
        happened = (truth == column).astype(np.float64)
        brier = float(((given - happened) ** 2).mean())
    else:
        given = probabilities.max(axis=1)
        happened = (probabilities.argmax(axis=1) == truth).astype(np.float64)
        errors = probabilities - np.eye(classes)[truth]
        brier = float((errors**2).sum(axis=1).mean())
    bins = _bins(given, happened)
    distances = [each["rows"] * abs(each["probability"] - each["share"]) for each in bins]
    return {
        "rows": len(truth),
        "log_loss": log_loss(truth, probabilities),
        "brier": brier,
        "ece": float(sum(distances)) / len(truth),
        "bins": bins,
    }


def _bins(given: Array, happened: Array) -> list[Document]:
    count = min(MAX_BINS, max(1, len(given) // ROWS_PER_BIN))
    edges = np.unique(np.quantile(given, np.linspace(0, 1, count + 1)[1:-1]))
    places = np.searchsorted(edges, given, side="right")
    return [
        {
            "probability": float(given[places == place].mean()),
            "share": float(happened[places == place].mean()),
            "rows": int(np.count_nonzero(places == place)),
        }
        for place in np.unique(places)
    ]
