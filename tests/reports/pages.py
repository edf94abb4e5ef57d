"""Report pages and pictures as a client gets them, and the records behind them."""

import base64
import io
from html.parser import HTMLParser

import matplotlib.image
import numpy as np

from models.trials.spec import Objective
from tests.reports.recorded import job_spec, trial_row

WIDTH = 15 * 120
SEARCH = ["best_so_far", "importance", "parallel_coordinates", "learning_curves"]


class Page(HTMLParser):
    """What a browser would find in a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.images = [], [], {}
        self.words, self._figure = "", ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.tags.append(tag)
        self.attributes += attributes.items()
        if tag == "figure":
            self._figure = attributes["id"]
        if tag == "img":
            assert attributes["alt"]
            kind, content = attributes["src"].split(",")
            assert kind == "data:image/png;base64"
            self.images[self._figure] = decode(base64.b64decode(content, validate=True))

    def handle_data(self, data):
        self.words += data


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


def read_page(client, job):
    answer = client.get(f"/tune/{job}/report")
    assert answer.status_code == 200
    assert answer.content_type == "text/html; charset=utf-8"
    return Page(answer.text)


def read_picture(client, job):
    answer = client.get(f"/tune/{job}/report?format=png")
    assert answer.status_code == 200
    assert answer.content_type == "image/png"
    pixels = decode(answer.data)
    assert pixels.shape[1] == WIDTH
    return pixels
