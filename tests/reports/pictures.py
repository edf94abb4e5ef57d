"""Pictures of reports as a client gets them, and the records behind them."""

import io

import matplotlib.image
import numpy as np
import pytest

from models.trials.spec import Objective
from tests.reports.recorded import job_spec, trial_row

DPI = 120
WIDTH = 15 * DPI
# Inches of the rows of a picture; a row that has nothing to draw says why in less space.
NOTE = 1.1
PROGRESS, VALUES, LEARNING, PREDICTED, CLASSES, COLUMNS, DEPENDENCE = 4.8, 5.5, 5, 6, 6.5, 4.8, 4.2
SEARCH = PROGRESS + VALUES


def decode(content):
    pixels = matplotlib.image.imread(io.BytesIO(content), format="png")
    assert pixels.std() > 0.01
    return pixels


def answers(task, classes=None, rows=40, target="target"):
    generator = np.random.default_rng(0)
    document = {
        "task": task,
        "target": target,
        "classes": classes,
        "rows": rows,
        "note": None,
        "row_numbers": list(range(rows)),
        "predictions": None,
        "probabilities": None,
    }
    if classes is None:
        truth = generator.uniform(10, 20, rows)
        return document | {"truth": truth.tolist(), "predictions": (truth + 1).tolist()}
    numbers = np.arange(rows) % len(classes)
    shares = generator.dirichlet(np.ones(len(classes)), rows)
    return document | {
        "truth": [classes[number] for number in numbers],
        "probabilities": shares.tolist(),
    }


def rows(count, **changes):
    return [
        trial_row(n, 1 / n, {"units": 8 * n, "learning_rate": 0.1 / n, "optimizer": "ab"[n % 2]})
        | changes
        for n in range(1, count + 1)
    ]


def classification(task, **changes):
    return job_spec(task=task, objective=Objective("accuracy", "max"), **changes)


def read_picture(client, job):
    answer = client.get(f"/tune/{job}/report?format=png")
    assert answer.status_code == 200
    assert answer.content_type == "image/png"
    pixels = decode(answer.data)
    assert pixels.shape[1] == WIDTH
    return pixels


def drawn_height(client, job):
    """Return the height of a picture in inches, without its heading."""
    return round(read_picture(client, job).shape[0] / DPI - 0.6, 1)


def inches(*rows):
    """Return the height of these rows, to compare with."""
    return pytest.approx(sum(rows), abs=0.06)
