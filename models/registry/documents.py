"""The forms of signature.json, read by `serving`, and held_out.json, read by `reports`."""

from typing import Any, NotRequired, TypedDict

Label = str | int | bool


class ColumnDocument(TypedDict):
    """One raw column that a version takes."""

    name: str
    type: str  # number, category, boolean, datetime or image
    shape: NotRequired[list[int]]  # of an image: height, width and perhaps channels
    categories: NotRequired[list[str]]  # those seen in training, where they are few


class SignatureDocument(TypedDict):
    """What a version takes and gives."""

    task: str  # regression, binary or multiclass
    target: str
    columns: list[ColumnDocument]  # in the order in which a list of values is read
    classes: list[Label] | None  # in the order of the probabilities
    sample: dict[str, Any]  # one row of the training data, as a request would send it


class HeldOutDocument(TypedDict):
    """What a version answered for its test rows, beside the truth, in the target's own units."""

    task: str  # regression, binary or multiclass
    target: str
    classes: list[Label] | None  # in the order of the probabilities
    rows: int  # that were held out
    note: str | None  # why fewer rows follow than were held out
    row_numbers: list[int]  # in the dataset, from 0, ascending
    truth: list[Label | float]
    predictions: list[float | None] | None  # of a regression; null where not finite
    probabilities: list[list[float | None]] | None  # of classes, one list a row
