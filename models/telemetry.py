"""Logging: the format of log lines, and the request, job and trial that each is about."""

import json
import logging
import os
import re
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import lru_cache
from types import MappingProxyType

# What TensorFlow's native code says on import whatever its log level is.
_IMPORT_NOISE = re.compile(
    rb"^(I0000 .*(port\.cc|cudart_stub\.cc)|WARNING: All log messages before absl)"
)
# Everything that could end a line or steer a terminal.
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_PLAIN = re.compile(r"[\w.:/{}+-]+", re.ASCII)

_about: ContextVar[Mapping[str, object]] = ContextVar("about", default=MappingProxyType({}))

_exchanging = threading.RLock()


def configure_logging(level: str, log_format: str) -> None:
    """Send log lines of `level` and above to standard error, as `text` or as `json`."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    logging.basicConfig(level=level, handlers=[handler])
    for chatty in ("aiobotocore", "alembic", "botocore", "httpx"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


@contextmanager
def about(**known: object) -> Iterator[None]:
    """Every line logged in the block, by this thread, carries what is `known`."""
    token = _about.set({**_about.get(), **known})
    try:
        yield
    finally:
        _about.reset(token)


def add_about(**known: object) -> None:
    """Add to what the lines of the present block carry, until it ends."""
    _about.set({**_about.get(), **known})


def present() -> Mapping[str, object]:
    """Return the request, job or trial that lines logged now are about."""
    return _about.get()


class TextFormatter(logging.Formatter):
    """One line for people. A traceback follows indented, so that none passes for an entry."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, its time in UTC; control characters of any value are escaped."""
        line = (
            f"{_time(record)} {record.levelname} {record.processName} {record.name}:"
            f" {_escaped(record.getMessage())}"
        )
        line += "".join(f" {key}={_shown(value)}" for key, value in _fields(record).items())
        if record.exc_info:
            lines = self.formatException(record.exc_info).split("\n")
            line += "".join(f"\n    {_escaped(each)}" for each in lines)
        return line


class JsonFormatter(logging.Formatter):
    """One JSON object a line, in ASCII, so that no value can end the line."""

    def format(self, record: logging.LogRecord) -> str:
        """The object: time (RFC 3339, UTC), level, logger, process, message and what is known."""
        entry: dict[str, object] = {
            "time": _time(record),
            "level": record.levelname,
            "logger": record.name,
            "process": record.process,
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry | _fields(record), default=str).replace("\x7f", "\\u007f")


def _time(record: logging.LogRecord) -> str:
    return f"{_second(int(record.created))}.{int(record.msecs):03}Z"


@lru_cache(maxsize=4)
def _second(since_epoch: int) -> str:
    return datetime.fromtimestamp(since_epoch, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _fields(record: logging.LogRecord) -> dict[str, object]:
    return {**_about.get(), **getattr(record, "fields", {})}


def _escaped(text: str) -> str:
    if text.isprintable():
        return text
    return CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def _shown(value: object) -> str:
    text = str(value)
    if text.isalnum() and text.isascii():  # such as the id of a request
        return text
    return text if _PLAIN.fullmatch(text) else _escaped(json.dumps(text, ensure_ascii=False))


@contextmanager
def without_import_noise() -> Iterator[None]:
    """Leave out what TensorFlow writes to standard error when it is imported; keep the rest.

    It writes past Python, so the file descriptor itself is exchanged for the time of the block; one
    thread at a time, or the first to leave would hand the others' file back for the real one.
    """
    with _exchanging, tempfile.TemporaryFile() as written:
        sys.stderr.flush()
        kept = os.dup(2)
        os.dup2(written.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)
            written.seek(0)
            for line in written:
                if not _IMPORT_NOISE.match(line):
                    os.write(2, line)
