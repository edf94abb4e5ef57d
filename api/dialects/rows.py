"""Rows in the JSON of TensorFlow Serving, which MLflow reads as well, to rows of the engine."""

import base64
import binascii
from typing import Any

from api.hooks.limits import current_body
from api.parsing import parse_json
from models.errors import Invalid, Malformed
from models.serving.engine import Rows, RowsOf
from models.serving.signature import Signature

_WRAPPED = (list, dict)
_BASE64 = {"b64"}


def json_object(*known: str) -> dict[str, Any]:
    """Return the present body, a JSON object with no other members than `known`.

    Its content type does not matter, since clients of these protocols often leave it to curl. NaN
    is null. Raises Malformed for another body, Invalid at a member that is not known.
    """
    body = parse_json(current_body(), nan_is_null=True)
    if not isinstance(body, dict):
        raise Malformed("The body is not a JSON object.")
    unknown = body.keys() - set(known)
    if unknown:
        raise Invalid({name: ["Unknown field."] for name in sorted(unknown)})
    return body


def only_one(body: dict[str, Any], *names: str) -> str:
    """Return which of `names` the body has; raise Invalid unless it is exactly one."""
    given = [name for name in names if body.get(name) is not None]
    if len(given) != 1:
        found = " and ".join(map(repr, given)) or "none"
        listed = ", ".join(map(repr, names))
        raise Invalid.at("body", f"Expected one of {listed}; there is {found}.")
    return given[0]


def from_instances(instances: Any, path: str = "instances") -> RowsOf:
    """Return what makes rows of the row format.

    A row is an object of cells by column, a list of cells in the order of the columns, or the
    cell of the only column. A cell may be a list of itself, as of a tensor of shape (rows, 1), and
    a text `{"b64": …}`. Raises Invalid at `path` for anything but a list.
    """
    if not isinstance(instances, list):
        raise Invalid.at(path, "Expected a list of rows.")

    def rows(signature: Signature) -> Rows:
        images = signature.images
        is_single = len(signature.columns) == 1
        return [_row(row, images, is_single) for row in instances]

    return rows


def from_inputs(inputs: Any) -> RowsOf:
    """Return what makes rows of the columnar format: an object of columns, or one tensor.

    A tensor is read as the row format is. Raises Invalid at `inputs`.
    """
    if not isinstance(inputs, dict):
        return from_instances(inputs, "inputs")
    for name, column in inputs.items():
        if not isinstance(column, list):
            raise Invalid.at(f"inputs.{name}", "Expected a list with a cell for each row.")

    def columns(signature: Signature) -> Rows:
        images = signature.images
        return {
            name: cells if name in images else list(map(_cell, cells))
            for name, cells in inputs.items()
        }

    return columns


def _row(row: Any, images: frozenset[str], is_single: bool) -> Any:
    if isinstance(row, dict) and not (is_single and row.keys() == _BASE64):
        return {
            name: cell if type(cell) not in _WRAPPED or name in images else _cell(cell)
            for name, cell in row.items()
        }
    if not isinstance(row, list):
        return [_cell(row)] if is_single else row
    return row if images else list(map(_cell, row))


def _cell(cell: Any) -> Any:
    if type(cell) is list and len(cell) == 1:
        return _cell(cell[0])
    if type(cell) is dict and cell.keys() == _BASE64:
        try:
            return base64.b64decode(cell["b64"], validate=True).decode()
        except (binascii.Error, TypeError, ValueError):
            raise Invalid.at("b64", "Expected Base64 of a text in UTF-8.") from None
    return cell
