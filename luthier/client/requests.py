"""What both clients send and read: tuning requests, forms, events."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

import httpx

from luthier.client.frames import is_frame, to_parquet
from luthier.client.records import Dataset

_BUDGET = {"trials": "max_trials", "seconds": "max_seconds", "epochs": "epochs"}


def quoted(name: str) -> str:
    """Return a name as one part of a path, whatever it holds."""
    return quote(name, safe="")


@dataclass(frozen=True)
class Upload:
    """A file to send: a path, or content with a name."""

    name: str
    path: Path | None = None
    content: bytes = b""

    def open(self) -> IO[bytes] | bytes:
        """Return what httpx reads: an open file, or the content."""
        return self.content if self.path is None else self.path.open("rb")


def upload_of(data: Any, name: str = "data") -> Upload:
    """Return a path or a DataFrame as a file to send."""
    if is_frame(data):
        return Upload(f"{name}.parquet", content=to_parquet(data))
    path = Path(data)
    return Upload(path.name, path)


def tuning_request(
    data: Any,
    target: str | list[str] | None,
    fields: Mapping[str, Any],
    file: str | Path | None = None,
) -> tuple[dict[str, Any], Upload | None]:
    """Return the request of a job, and the file that is to become its dataset.

    `data` is a request, a stored dataset or its id, `builtin:` and a name, a path, or a DataFrame;
    beside a request, `file` is the file.
    `fields` may have `trials`, `seconds`, `epochs` and `space` in place of `budget` and
    `search_space`.
    """
    upload = None if file is None else upload_of(file)
    request: dict[str, Any] = {}
    if isinstance(data, Dataset):
        request["dataset"] = data.id
    elif isinstance(data, Mapping):
        request |= data
    elif isinstance(data, str) and data.startswith(("ds_", "builtin:")):
        request["dataset"] = data
        if data.startswith("builtin:"):
            request["model"] = data.removeprefix("builtin:")
    else:
        upload = upload_of(data, target if isinstance(target, str) else "data")
    if target is not None:
        request["target"] = target
    rest = dict(fields)
    limits = {_BUDGET[name]: rest.pop(name) for name in _BUDGET if name in rest}
    if "space" in rest:
        rest["search_space"] = rest.pop("space")
    request |= rest
    if limits:
        request["budget"] = {**(request.get("budget") or {}), **limits}
    return request, upload


def reading_form(
    types: Mapping[str, str] | None, options: Mapping[str, Any] | None
) -> dict[str, str]:
    """Return the fields of a form that say how its file is to be read."""
    return {"types": json.dumps(types or {}), "options": json.dumps(options or {})}


class EventParser:
    """Puts the events together that arrive as lines of `text/event-stream`."""

    def __init__(self) -> None:
        self._fields: dict[str, str] = {}

    def feed(self, line: str) -> dict[str, Any] | None:
        """Take a line and return the event that it completes, if it does; skip comments."""
        if line:
            name, _, value = line.partition(": ")
            self._fields[name] = value
            return None
        fields, self._fields = self._fields, {}
        if "data" not in fields:
            return None
        data = json.loads(fields["data"])
        return {"id": int(fields["id"]), "event": fields["event"], "data": data}


def with_wait(timeout: float, seconds: float) -> dict[str, Any]:
    """Return the arguments of a call whose answer comes up to `seconds` later."""
    if not seconds:
        return {}
    patience = httpx.Timeout(timeout, read=timeout + seconds)
    return {"params": {"wait": seconds}, "timeout": patience}
