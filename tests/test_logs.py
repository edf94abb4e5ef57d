"""Log lines: their format, what they carry, and that no value can forge one."""

import json
import logging
from collections.abc import Iterator
from datetime import datetime, timedelta
from io import StringIO

import pytest
from flask.testing import FlaskClient

from models.telemetry import JsonFormatter, TextFormatter, about, add_about

EVIL = "a\r\n2026-01-01T00:00:00.000Z INFO forged\x1b[2K\x7f\x85\u2028ü"


class Log:
    """What a logger wrote, in one of the formats."""

    def __init__(self, formatter: logging.Formatter) -> None:
        self._stream = StringIO()
        self.handler = logging.StreamHandler(self._stream)
        self.handler.setFormatter(formatter)

    @property
    def text(self) -> str:
        return self._stream.getvalue()

    def entries(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.text.splitlines()]


@pytest.fixture
def attached() -> Iterator[object]:
    """Attach a log to the root logger for the time of a test."""
    root, level, logs = logging.getLogger(), logging.getLogger().level, []

    def attach(formatter: logging.Formatter) -> Log:
        logs.append(Log(formatter))
        root.addHandler(logs[-1].handler)
        root.setLevel("INFO")
        return logs[-1]

    yield attach
    root.setLevel(level)
    for log in logs:
        root.removeHandler(log.handler)


def fail_with(text: str) -> None:
    try:
        raise ValueError(text)
    except ValueError:
        logging.getLogger("luthier.test").exception("it failed: %s", text)


def test_a_json_line_has_time_level_logger_message_and_what_is_known(attached) -> None:
    log = attached(JsonFormatter())
    with about(job="job_1"):
        add_about(trial=3)
        logging.getLogger("luthier.test").warning("hello %s", "you", extra={"fields": {"n": 1}})
    logging.getLogger("luthier.test").info("after")
    first, second = log.entries()
    moment = datetime.fromisoformat(first["time"])
    assert first["time"].endswith("Z")
    assert moment.utcoffset() == timedelta(0)
    assert first["level"] == "WARNING"
    assert first["logger"] == "luthier.test"
    assert first["message"] == "hello you"
    assert (first["job"], first["trial"], first["n"]) == ("job_1", 3, 1)
    assert not {"job", "trial", "n", "exception"} & set(second)


def test_no_value_ends_a_line_of_json(attached) -> None:
    log = attached(JsonFormatter())
    with about(job=EVIL):
        fail_with(EVIL)
    (entry,) = log.entries()
    assert entry["job"] == EVIL
    assert entry["message"] == f"it failed: {EVIL}"
    assert EVIL in entry["exception"]
    assert log.text.isascii()
    assert log.text.rstrip("\n").isprintable()


def test_no_value_forges_a_line_of_text(attached) -> None:
    log = attached(TextFormatter())
    with about(job=EVIL, number=4):
        fail_with(EVIL)
    first, *traceback = log.text.rstrip("\n").split("\n")
    assert (
        "it failed: a\\r\\n2026-01-01T00:00:00.000Z INFO forged\\x1b[2K\\x7f\\x85\\u2028ü" in first
    )
    assert first.endswith(" number=4")
    assert traceback
    assert all(line.startswith("    ") and line.isprintable() for line in [first, *traceback][1:])
    assert first.isprintable()


@pytest.mark.parametrize("sent", ["abc-123", "A" * 128])
def test_a_sane_request_id_is_kept(app_client: FlaskClient, attached, sent: str) -> None:
    log = attached(JsonFormatter())
    answer = app_client.get("/tune/job_x", headers={"X-Request-ID": sent})
    assert answer.headers["X-Request-ID"] == sent
    assert answer.get_json()["request_id"] == sent
    (line,) = [entry for entry in log.entries() if entry["logger"] == "api.hooks.request_log"]
    assert line["request_id"] == sent
    assert line["message"] == "GET /tune/job_x"
    assert (line["route"], line["status"], line["job"]) == ("/tune/{job}", 404, "job_x")
    assert line["milliseconds"] >= 0


@pytest.mark.parametrize("sent", ["", "a b", "A" * 129, "ä", '"x"', "<script>"])
def test_any_other_request_id_is_replaced(app_client: FlaskClient, sent: str) -> None:
    ids = {
        app_client.get("/models", headers={"X-Request-ID": sent}).headers["X-Request-ID"]
        for _ in range(2)
    }
    assert len(ids) == 2
    assert all(len(each) == 32 and each.isalnum() for each in ids)


def test_a_path_cannot_forge_a_line(app_client: FlaskClient, attached) -> None:
    log = attached(TextFormatter())
    app_client.get("/models/a%0d%0aforged%00")
    assert "forged" in log.text
    assert len(log.text.splitlines()) == 1
    assert "\x00" not in log.text


def test_probes_and_scrapes_are_not_worth_a_line(app_client: FlaskClient, attached) -> None:
    log = attached(JsonFormatter())
    for path in ("/healthz", "/readyz", "/metrics"):
        assert app_client.get(path).status_code == 200
    assert log.text == ""
