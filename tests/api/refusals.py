"""Requests that the API refuses, and how they are written down."""

from dataclasses import dataclass, field
from typing import Any

TUNE = {"model": "m", "dataset": "builtin:iris", "target": "target"}
ROWS = [{"a": i, "b": i % 3, "y": i * 1.5} for i in range(12)]
HUGE = 10**30
JSON = "application/json"


@dataclass(frozen=True)
class Case:
    """A request, and how it is refused."""

    name: str
    call: str  # method and path
    status: int
    paths: tuple[str, ...] = ()  # of the messages in `errors`
    options: dict[str, Any] = field(default_factory=dict)


def tune(name: str, *paths: str, status: int = 422, **changes: Any) -> Case:
    body = {key: value for key, value in (TUNE | changes).items() if value is not ...}
    return Case(name, "POST /tune", status, paths, {"json": body})


def space(name: str, path: str, **entries: Any) -> Case:
    return tune(name, f"search_space{path}", search_space=entries)


def raw(name: str, call: str, body: bytes, status: int, kind: str = JSON) -> Case:
    return Case(name, call, status, (), {"data": body, "content_type": kind})


def rows(name: str, *paths: str, records: Any = ROWS, **changes: Any) -> Case:
    dataset = {"records": records}
    return tune(name, *paths, **({"dataset": dataset, "target": "y"} | changes))


def upload(
    case: str, content: bytes, *paths: str, file: str = "t.csv", status: int = 422, **form: str
) -> Case:
    data = {"file": (content, file), **form}
    return Case(case, "POST /datasets", status, paths, {"data": data})


def inline(case: str, *paths: str, status: int = 422, **body: Any) -> Case:
    return Case(case, "POST /datasets", status, paths, {"json": body})


def predict(name: str, *paths: str, status: int = 422, **changes: Any) -> Case:
    body = {"model": "m", "instances": [{"a": 1}]} | changes
    body = {key: value for key, value in body.items() if value is not ...}
    return Case(name, "POST /predict", status, paths, {"json": body})


def get(name: str, path: str, *paths: str, status: int = 422) -> Case:
    return Case(name, f"GET {path}", status, paths)
