"""What takes a short way, because it is plain, gets the same result as by the long way."""

import json
from typing import Any

import marshmallow as ma
import pytest
from flask import jsonify
from flask.testing import FlaskClient
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from api import parsing
from api.schemas.predict import PredictSchema
from api.services import services
from models.errors import Invalid, Malformed

DRAWN = settings(
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(10**25), 10**25)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"), max_size=5)
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=3), inner)
)
bodies = st.tuples(values, st.booleans()).map(
    lambda drawn: json.dumps(drawn[0], ensure_ascii=drawn[1]).encode(errors="replace")
)

damage = st.sampled_from([b"", b"\x00", b"]", b",", b"0", b"e", b"\xff", b"\\u0000", b'"', b"{"])


def outcome(function: Any, *arguments: Any) -> str:
    """The result with the types of all values in it, or the error."""
    try:
        return repr(function(*arguments))
    except (Malformed, Invalid, ma.ValidationError) as error:
        return f"{type(error).__name__}: {error} {getattr(error, 'errors', '')}"


def by_the_long_way(body: bytes) -> Any:
    value = parsing._read_json(body, "The body", parsing._refuse_constant)
    parsing.refuse_nul(value)
    parsing._check_depth(value, "The body", services().settings.max_json_depth)
    return value


@DRAWN
@given(body=bodies, place=st.integers(0, 100), inserted=damage)
@example(body=b"", place=0, inserted=b"")
@example(body=b"\xef\xbb\xbf[1]", place=0, inserted=b"")
@example(body=b"[1e400, -1E+999]", place=0, inserted=b"")
@example(body=b"[NaN]", place=0, inserted=b"")
@example(body=b'{"a": 1, "a": 2}', place=0, inserted=b"")
@example(body=b'"\\ud800"', place=0, inserted=b"")
@example(body=b"9" * 5000, place=0, inserted=b"")
@example(body=b"[" * 200 + b"]" * 200, place=0, inserted=b"")
@example(body=b"[" * 5000 + b"]" * 5000, place=0, inserted=b"")
@example(body=b'["' + b"[" * 200 + b'"]', place=0, inserted=b"")
@example(body=b"[-0, -0.0, 1e-400, 5e-324, 0.1, 1e16]", place=0, inserted=b"")
def test_bodies(shared_client: FlaskClient, body: bytes, place: int, inserted: bytes) -> None:
    body = body[:place] + inserted + body[place:]
    with shared_client.application.app_context():
        assert outcome(parsing.parse_json, body) == outcome(by_the_long_way, body)


members: st.SearchStrategy[Any] = st.fixed_dictionaries(
    {},
    optional={
        "model": st.sampled_from(["m", "a.b-c_9", "", "-m", "m\n", "é", "m" * 101, 1, None]),
        "instances": st.sampled_from([[[1]], [], [{}], {}, None, "ab", 3]),
        "version": st.sampled_from([1, 0, -1, True, None, 1.0, "1", 2**31 - 1, 2**31]),
        "alias": st.sampled_from(["best", "", None, 1]),
        "interval": st.sampled_from([0.5, 1, None]),
        "instance": st.just([]),
    },
)


@DRAWN
@given(data=members | st.sampled_from([None, [], "text", 1]))
def test_fields_of_a_prediction(data: Any) -> None:
    schema = PredictSchema()

    def quickly() -> Any:
        return dict(sorted(schema.load(data).items()))

    def slowly() -> Any:
        return dict(sorted(ma.Schema.load(schema, data).items()))

    assert outcome(quickly) == outcome(slowly)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": [1, 2.5, True, None, "ü"]}, '{"a":[1,2.5,true,null,"ü"]}'),
        ([float("nan"), float("inf")], "[null,null]"),
        ({1: 10**30}, '{"1":1000000000000000000000000000000}'),
        (["\ud800", float("nan")], '["\\ud800",null]'),
    ],
)
def test_answers(shared_client: FlaskClient, value: Any, text: str) -> None:
    with shared_client.application.app_context():
        response = jsonify(value)
    assert response.get_data(as_text=True) == text + "\n"
    assert response.mimetype == "application/json"
