"""Answers of `POST /predict`, compared."""

from typing import Any


def without_id(body: dict[str, Any]) -> dict[str, Any]:
    """Return an answer but for its id, which no other one has; check that it has one."""
    assert body["prediction_id"]
    return {name: value for name, value in body.items() if name != "prediction_id"}
