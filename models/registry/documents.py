"""The form of signature.json, which `registry` writes and `serving` reads."""

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
