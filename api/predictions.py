"""The one way to a prediction, whatever protocol asks for it: resolve, answer, count."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from flask import Response, after_this_request, has_request_context

from api.services import Services
from models.data.table import ReadOptions, Table
from models.errors import Invalid
from models.serving.engine import AnswerOptions, Prediction, Rows, RowsOf
from models.serving.signature import ColumnRules
from models.telemetry import add_about

COLUMN_RULES = ("unknown_columns", "missing_columns")
ANSWER_OPTIONS = ("interval", "threshold")

_EVERY_ROW = ReadOptions(every_row=True)  # each row of a body gets an answer


def answer(found: Services, rows: Rows | RowsOf, wanted: Mapping[str, Any]) -> Prediction:
    """Return the answer of a model's version to `rows`, and count it.

    `wanted` names the `model` and perhaps `version`, `alias` or `key`, and holds fields of
    ColumnRules and AnswerOptions. A shadow computes the same rows after the answer. Raises
    NotFound, and as `PredictionEngine.predict`.
    """
    model = wanted["model"]
    version, shadow = found.routes.resolve(
        model, wanted.get("version"), wanted.get("alias"), wanted.get("key")
    )
    add_about(model=model, version=version)
    rules = ColumnRules(**{name: wanted[name] for name in COLUMN_RULES if name in wanted})
    options = AnswerOptions(**{name: wanted[name] for name in ANSWER_OPTIONS if name in wanted})
    with found.recorder.watch(model, version) as watch:
        loaded = found.predictions.load(model, version)
        watch.restart()
        prediction = watch.answer = loaded.predict(rows, rules, options)
    found.metrics.predicted(model, version, len(prediction.predictions))
    if shadow is not None:
        plain = replace(options, interval=None)
        again = partial(found.predictions.predict, model, shadow, rows, rules, plain)
        _after_answer(partial(found.shadows.compare, prediction, shadow, again))
    return replace(prediction, id=watch.id)


def _after_answer(call: Callable[[], None]) -> None:
    """Make a call once the answer to the present request has been sent; at once outside of HTTP."""
    if not has_request_context():
        call()
        return

    @after_this_request
    def _(response: Response) -> Response:
        response.call_on_close(call)
        return response


def read_table(found: Services, content: bytes, media_type: str) -> Table:
    """Return the table that a body of CSV, Parquet or Arrow holds; raise Invalid at `body`."""
    try:
        return found.datasets.read_table(content, None, media_type, _EVERY_ROW)
    except Invalid as error:
        # What is said of a file holds for the body.
        paths = {
            ("body" if path == "file" else path): texts for path, texts in error.errors.items()
        }
        raise Invalid(paths) from None
