"""The stored documents of a version, and how they are checked before they are used.

Documents are what `json.loads` returns. A schema names the fields that this version of Luthier
reads; others, as a newer version may write, are left alone.
"""

import json
from collections.abc import Mapping
from typing import Any

import marshmallow as ma
import numpy as np
from marshmallow.validate import Length, OneOf, Range

from models.data.columns import ColumnType
from models.data.preparation.tasks import Task
from models.data.spelling import Spelling
from models.errors import Unreadable
from models.fields import flatten

Document = dict[str, Any]
Figures = Mapping[str, float | None]  # by the names of `models.trials.spec.METRICS`

UNDECIDED = "undecided"
TRAINED, IMPORTED = "trained", "imported"  # sources of versions
CALIBRATION_FILE = "calibration.json"
INPUT_TYPES = [kind.value for kind in ColumnType if kind is not ColumnType.IGNORED]


class StoredSchema(ma.Schema):
    """A document, or a part of one, that a newer version may have written."""

    class Meta:
        """Keep fields that are not known here."""

        unknown = ma.INCLUDE


class ColumnSchema(StoredSchema):
    """One raw column that a version takes."""

    name = ma.fields.String(required=True)
    type = ma.fields.String(required=True, validate=OneOf(INPUT_TYPES))
    shape = ma.fields.List(ma.fields.Integer(strict=True))  # of an image: height, width[, channels]
    categories = ma.fields.List(ma.fields.String())  # seen in training, where they are few
    spelling = ma.fields.Dict()  # of its cells, as `models.data.spelling.Spelling` reads it

    @ma.validates_schema
    def _check_shape(self, data: Document, **_: Any) -> None:
        if data["type"] == ColumnType.IMAGE and "shape" not in data:
            raise ma.ValidationError("Missing data for required field.", "shape")
        try:
            Spelling.from_json(data.get("spelling", {}))
        except (TypeError, ValueError) as error:
            raise ma.ValidationError(str(error), "spelling") from None


class SignatureSchema(StoredSchema):
    """signature.json: what a version takes and gives."""

    task = ma.fields.String(required=True, validate=OneOf(list(Task)))
    target = ma.fields.String(required=True)
    # In the order in which a list of values is read.
    columns = ma.fields.List(ma.fields.Nested(ColumnSchema), required=True, validate=Length(min=1))
    # In the order of the probabilities; null for a regression.
    classes = ma.fields.List(ma.fields.Raw(), required=True, allow_none=True)
    # One row of the training data, as a request would send it.
    sample = ma.fields.Dict(required=True)
    # Of two classes: from which probability of which class on that one is answered. Null: the more
    # probable one is.
    threshold = ma.fields.Float(
        allow_none=True, validate=Range(0, 1, min_inclusive=False, max_inclusive=False)
    )
    positive_class = ma.fields.Raw(allow_none=True)
    # The other columns of the training data, which a row may have too.
    unused = ma.fields.List(ma.fields.String())


class HeldOutSchema(StoredSchema):
    """held_out.json: a version's answers for its test rows beside the truth, in its own units."""

    task = ma.fields.String(required=True, validate=OneOf(list(Task)))
    target = ma.fields.String(required=True)
    classes = ma.fields.List(ma.fields.Raw(), required=True, allow_none=True)
    rows = ma.fields.Integer(required=True)  # that were held out
    note = ma.fields.String(required=True, allow_none=True)  # why fewer rows follow
    threshold = ma.fields.Float(allow_none=True)  # as in signature.json
    positive = ma.fields.Integer(allow_none=True)  # the number of the positive class
    test_dataset = ma.fields.String(allow_none=True)  # that holds the rows; null: the job's own
    row_numbers = ma.fields.Raw(required=True)  # list: in the dataset, from 0, ascending
    truth = ma.fields.List(ma.fields.Raw(), required=True)  # labels or numbers
    predictions = ma.fields.Raw(required=True, allow_none=True)  # of a regression: (rows,)
    probabilities = ma.fields.Raw(required=True, allow_none=True)  # of classes: (rows, classes)

    @ma.validates_schema
    def _check_shapes(self, data: Document, **_: Any) -> None:
        rows, classes = len(data["truth"]), data["classes"]
        if not rows:
            return
        name = "predictions" if classes is None else "probabilities"
        shape = (rows,) if classes is None else (rows, len(classes))
        try:
            found = np.array(data[name], dtype=np.float64).shape
            is_known = classes is None or set(data["truth"]) <= set(classes)
        except (TypeError, ValueError):
            raise ma.ValidationError("Not a list of numbers for each row.", name) from None
        if found != shape:
            raise ma.ValidationError(f"Has the shape {found}, not {shape}.", name)
        if not is_known:
            raise ma.ValidationError("Holds labels that are not in `classes`.", "truth")


class CalibrationSchema(StoredSchema):
    """calibration.json: what intervals of a version are made of; see docs/certainty.md."""

    rows = ma.fields.Integer(required=True, strict=True, validate=Range(min=0))
    note = ma.fields.String(allow_none=True)  # why there are no rows
    # Of `models.registry.certainty.conformal`, ascending.
    scores = ma.fields.List(ma.fields.Float(), required=True)
    lowest = ma.fields.Float(allow_none=True)  # below which no prediction lies

    @ma.validates_schema
    def _check_scores(self, data: Document, **_: Any) -> None:
        if len(data["scores"]) > data["rows"] or bool(data["scores"]) != bool(data["rows"]):
            raise ma.ValidationError("Not as many as the rows allow.", "scores")


class ThresholdSchema(StoredSchema):
    """The threshold of two classes, and what it was chosen for."""

    value = ma.fields.Float(required=True, allow_none=True)
    metric = ma.fields.String(allow_none=True)
    note = ma.fields.String(allow_none=True)  # why there is none


class CoverageSchema(StoredSchema):
    """The share of test rows whose truth lies in an interval or a label set of one level."""

    level = ma.fields.Float(required=True)
    coverage = ma.fields.Float(required=True)
    rows = ma.fields.Integer(required=True)
    size = ma.fields.Float(required=True)  # mean width, or mean number of labels


class ReliabilityBinSchema(StoredSchema):
    """Test rows of similar probability."""

    probability = ma.fields.Float(required=True)  # their mean
    share = ma.fields.Float(required=True)  # of them that are of the class, or right
    rows = ma.fields.Integer(required=True)


class ReliabilitySchema(StoredSchema):
    """How well probabilities agree with the test rows."""

    rows = ma.fields.Integer(required=True)
    log_loss = ma.fields.Float(required=True)
    brier = ma.fields.Float(required=True)
    ece = ma.fields.Float(required=True)
    bins = ma.fields.List(ma.fields.Nested(ReliabilityBinSchema), required=True)


class CalibrationEvidenceSchema(StoredSchema):
    """The calibration rows of a version, its temperature, and the probabilities of its test."""

    rows = ma.fields.Integer(required=True)
    note = ma.fields.String(allow_none=True)
    temperature = ma.fields.Float(allow_none=True)
    temperature_note = ma.fields.String(allow_none=True)  # why there is none
    test = ma.fields.Nested(ReliabilitySchema, allow_none=True)
    untempered = ma.fields.Nested(ReliabilitySchema, allow_none=True)  # the same without it


class LayerSchema(StoredSchema):
    """One layer of a version's network."""

    name = ma.fields.String(required=True)
    type = ma.fields.String(required=True)
    output_shape = ma.fields.List(ma.fields.Integer(allow_none=True), required=True)
    parameters = ma.fields.Integer(required=True)


class FileSchema(StoredSchema):
    """The registered entry of one file of a version."""

    sha256 = ma.fields.String(required=True)
    bytes = ma.fields.Integer(required=True)
    path = ma.fields.String()  # in the version's folder; the oldest lie under their plain names


def _figures() -> ma.fields.Dict:
    values = ma.fields.Float(allow_none=True)
    return ma.fields.Dict(ma.fields.String(), values, required=True, allow_none=True)


def _interval() -> ma.fields.List[Any]:
    return ma.fields.List(ma.fields.Float(), validate=Length(equal=2), allow_none=True)


def _intervals() -> ma.fields.Dict:
    return ma.fields.Dict(ma.fields.String(), _interval(), allow_none=True)


class BaselineSchema(StoredSchema):
    """The scores of a simpler model on the test rows."""

    model = ma.fields.String(required=True)  # scikit-learn's name for it
    metrics = _figures()  # null if it has no answers
    intervals = _intervals()
    rows = ma.fields.Integer()  # that it learned from
    note = ma.fields.String(allow_none=True)  # why it has no answers


class OptimismSchema(StoredSchema):
    """The score that won the search beside the test score."""

    metric = ma.fields.String(required=True)
    search = ma.fields.Float(required=True)
    test = ma.fields.Float(required=True)
    interval = _interval()  # of the test score
    gap = ma.fields.Float(required=True)  # above 0 where the test score is worse


class ImportantColumnSchema(StoredSchema):
    """The importance of one column."""

    column = ma.fields.String(required=True)
    importance = ma.fields.Float(required=True)
    interval = _interval()


class ColumnImportanceSchema(StoredSchema):
    """What the objective loses when the cells of a column are shuffled between held-out rows."""

    metric = ma.fields.String(required=True)
    rows = ma.fields.Integer(required=True)
    note = ma.fields.String(allow_none=True)
    items = ma.fields.List(ma.fields.Nested(ImportantColumnSchema), required=True)


class DependenceSchema(StoredSchema):
    """The mean answer for several values of one column."""

    column = ma.fields.String(required=True)
    type = ma.fields.String(required=True, validate=OneOf(INPUT_TYPES))
    values = ma.fields.List(ma.fields.Raw(), required=True)
    predictions = ma.fields.List(ma.fields.Float())  # of a regression, by value
    classes = ma.fields.List(ma.fields.Raw())  # that have probabilities
    probabilities = ma.fields.List(ma.fields.List(ma.fields.Float()))  # by class and value

    @ma.validates_schema
    def _check_curves(self, data: Document, **_: Any) -> None:
        curves, classes = data.get("probabilities"), data.get("classes", ())
        if curves is None and "predictions" not in data:
            raise ma.ValidationError("Missing data for required field.", "predictions")
        if curves is not None and len(curves) != len(classes):
            raise ma.ValidationError("Not a curve for each of `classes`.", "probabilities")
        for curve in [data["predictions"]] if curves is None else curves:
            if len(curve) != len(data["values"]):
                raise ma.ValidationError("Not a number for each of `values`.", "values")


class EvidenceSchema(StoredSchema):
    """The parts of evidence.json that are read again; see `models.registry.evidence`.

    Versions before 0.3 have no intervals, no models beside them, and nothing about columns.
    """

    validation = ma.fields.Nested(
        StoredSchema.from_dict({"metrics": _figures()}, name="StoredValidation"), required=True
    )
    test = ma.fields.Nested(
        StoredSchema.from_dict(
            {"rows": ma.fields.Integer(required=True), "intervals": _intervals()},
            name="StoredTest",
        ),
        required=True,
    )
    baseline = ma.fields.Nested(
        StoredSchema.from_dict(
            {"predicts": ma.fields.String(required=True), "intervals": _intervals()},
            name="StoredBaseline",
        ),
        required=True,
    )
    baselines = ma.fields.Dict(
        ma.fields.String(), ma.fields.Nested(BaselineSchema), allow_none=True
    )
    # Null where there is nothing to compare.
    better_than_trees = ma.fields.Raw(validate=OneOf([True, False, UNDECIDED]), allow_none=True)
    conclusion = ma.fields.String(allow_none=True)  # about it, in a sentence
    optimism = ma.fields.Nested(OptimismSchema, allow_none=True)
    column_importance = ma.fields.Nested(ColumnImportanceSchema, allow_none=True)
    partial_dependence = ma.fields.List(ma.fields.Nested(DependenceSchema), allow_none=True)
    calibration = ma.fields.Nested(CalibrationEvidenceSchema, allow_none=True)
    threshold = ma.fields.Nested(ThresholdSchema, allow_none=True)  # null unless two classes
    # Null without test rows, or rows to calibrate on.
    coverage = ma.fields.List(ma.fields.Nested(CoverageSchema), allow_none=True)


class PromotionSchema(StoredSchema):
    """Whether a version became the champion when it was made, and why."""

    promoted = ma.fields.Boolean(required=True)
    reason = ma.fields.String(required=True)
    champion = ma.fields.Integer(allow_none=True)  # version that it was compared with
    differs = ma.fields.List(ma.fields.String())  # parts of the contract: task, target, …
    better = ma.fields.Raw(validate=OneOf([True, False, UNDECIDED]), allow_none=True)
    metric = ma.fields.String(allow_none=True)
    score = ma.fields.Float(allow_none=True)
    interval = _interval()
    champion_score = ma.fields.Float(allow_none=True)
    champion_interval = _interval()
    difference = ma.fields.Float(allow_none=True)  # above 0 if the version is better
    difference_interval = _interval()
    rows = ma.fields.Integer(allow_none=True)  # that neither learned from
    promote = ma.fields.String()  # as the job asked
    min_gain = ma.fields.Float()
    breaking = ma.fields.Boolean()
    trouble = ma.fields.String(allow_none=True)  # why they were not compared


class VersionDocumentsSchema(StoredSchema):
    """The JSON columns of a row of `versions`: `files`, and the keys of `details`."""

    files = ma.fields.Dict(ma.fields.String(), ma.fields.Nested(FileSchema), required=True)
    metrics = _figures()  # on the test rows, in the target's own units; null without any
    baseline = _figures()  # of always giving the mean or the class shares, on the same rows
    signature = ma.fields.Nested(SignatureSchema, required=True)
    evidence = ma.fields.Nested(EvidenceSchema, required=True)
    layers = ma.fields.List(ma.fields.Nested(LayerSchema), required=True)
    summary = ma.fields.String(required=True)  # the layers as text
    parameters = ma.fields.Integer(required=True)
    promotion = ma.fields.Nested(PromotionSchema, allow_none=True)
    source = ma.fields.String(validate=OneOf([TRAINED, IMPORTED]))  # trained without it


def parse_json(content: bytes | str, what: str) -> Any:
    """Parse a stored JSON text; raises Unreadable, which names `what`."""
    try:
        return json.loads(content, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise Unreadable(what, f"It is not JSON: {error}") from None


def check_document(document: Any, schema: ma.Schema, what: str) -> None:
    """Raise Unreadable, which names `what` and each wrong field, unless `document` fits."""
    if not isinstance(document, dict):
        raise Unreadable(what, "It is not a JSON object.")
    messages = schema.validate(document)
    if messages:
        raise Unreadable(what, flatten(messages))


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number of JSON.")
