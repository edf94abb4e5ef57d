"""Large answers of text are compressed for clients that accept it."""

import gzip
import re
from typing import Any

import pytest
from flask import Response
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from api.hooks.compression import MIN_BYTES, compress

MANY = {"model": "kinds", "instances": [[n / 300] for n in range(100)]}


def ask(
    api: FlaskClient, coding: str | None, accept: str = "*/*", body: Any = MANY
) -> TestResponse:
    headers = {"Accept": accept} | ({} if coding is None else {"Accept-Encoding": coding})
    response = api.post("/predict", json=body, headers=headers)
    assert response.status_code == 200, response.text
    return response


def stable(answer: bytes) -> bytes:
    """Return an answer but for its id."""
    return re.sub(rb'"prediction_id":"\w+"', b"", answer)


@pytest.mark.parametrize("accept", ["application/json", "text/csv"])
def test_a_large_answer_is_compressed_if_that_is_accepted(api: FlaskClient, accept: str) -> None:
    plain = ask(api, None, accept)
    assert len(plain.data) >= MIN_BYTES
    for coding in ("gzip", "br, gzip;q=0.5", "*"):
        packed = ask(api, coding, accept)
        assert packed.headers["Content-Encoding"] == "gzip"
        assert int(packed.headers["Content-Length"]) == len(packed.data) < len(plain.data)
        assert stable(gzip.decompress(packed.data)) == stable(plain.data)
        assert {"Accept", "Accept-Encoding"} <= set(packed.headers["Vary"].split(", "))
    for coding in ("identity", "br", "gzip;q=0"):
        other = ask(api, coding, accept)
        assert "Content-Encoding" not in other.headers
        assert stable(other.data) == stable(plain.data)


def test_small_answers_and_binary_ones_are_not(api: FlaskClient) -> None:
    small = MANY | {"instances": [[0.5]]}
    assert "Content-Encoding" not in ask(api, "gzip", body=small).headers
    for accept in ("application/x-npz", "application/vnd.apache.parquet"):
        assert "Content-Encoding" not in ask(api, "gzip", accept).headers
    document = api.get("/openapi.json", headers={"Accept-Encoding": "gzip"})
    assert document.headers["Content-Encoding"] == "gzip"


def test_streams_and_files_are_not(api: FlaskClient) -> None:
    text = "x" * MIN_BYTES
    with api.application.test_request_context(headers={"Accept-Encoding": "gzip"}):
        for response in (
            Response(iter([text]), mimetype="text/csv", headers={"Content-Length": "5000"}),
            Response(text, mimetype="text/event-stream"),
            Response(text, mimetype="application/json", headers={"ETag": '"a"'}),
            Response(text, mimetype="application/json", headers={"Content-Encoding": "br"}),
        ):
            coding = response.headers.get("Content-Encoding")
            assert compress(response).headers.get("Content-Encoding") == coding
