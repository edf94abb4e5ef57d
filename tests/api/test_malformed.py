"""Whatever is sent to it, the API says what is wrong and where, and never breaks."""

import io
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.api.refusals import (
    FIELDS,
    HUGE,
    JSON,
    ROWS,
    SPACES,
    STRATEGIES,
    TUNE,
    Case,
    get,
    inline,
    predict,
    raw,
    rows,
    tune,
    upload,
)

BODIES = [
    case
    for call in ("POST /tune", "POST /predict", "POST /datasets", "PUT /models/m/aliases/best")
    for case in (
        raw(f"{call}: not JSON", call, b"{'a': 1}", 400),
        raw(f"{call}: cut short", call, b'{"model": "m"', 400),
        raw(f"{call}: NaN", call, b'{"model": NaN}', 400),
        raw(f"{call}: Infinity", call, b'{"version": -Infinity}', 400),
        raw(f"{call}: not UTF-8", call, b'{"model": "\xff\xfe"}', 400),
        raw(f"{call}: half a surrogate pair", call, b'{"model": "\\ud800"}', 400),
        raw(f"{call}: surrogate bytes", call, b'{"model": "\xed\xa0\x80"}', 400),
        raw(f"{call}: endless number", call, b'{"version": ' + b"9" * 5000 + b"}", 400),
        raw(f"{call}: nested too deeply", call, b"[" * 100_000 + b"]" * 100_000, 400),
        raw(f"{call}: text", call, b"model=m", 415, "text/plain"),
        raw(f"{call}: form", call, b"model=m", 415, "application/x-www-form-urlencoded"),
        raw(f"{call}: no type", call, b"{}", 415, ""),
        raw(f"{call}: too large", call, b'"' + b"x" * 1_000_001 + b'"', 413),
        Case(f"{call}: list", call, 422, ("_schema",), {"json": [1, 2]}),
        Case(f"{call}: text as JSON", call, 422, ("_schema",), {"json": "model"}),
        Case(
            f"{call}: nested deeply",
            call,
            422,
            ("_schema",),
            {"data": b"[" * 500 + b"]" * 500, "content_type": JSON},
        ),
    )
] + [
    Case("tune: null", "POST /tune", 422, ("_schema",), {"data": b"null", "content_type": JSON}),
    raw("datasets: empty body", "POST /datasets", b"", 400),
    Case("tune: empty body", "POST /tune", 422, ("dataset", "model", "target")),
    Case("predict: empty body", "POST /predict", 422, ("instances", "model")),
    Case("alias: empty body", "PUT /models/m/aliases/best", 422, ("version",)),
]

DATA = [
    tune("unknown dataset", status=404, dataset="ds_0"),
    tune("unknown builtin", "dataset", dataset="builtin:irises"),
    tune("target that the builtin lacks", "target", target="species"),
    tune("dataset as number", "dataset", dataset=7),
    tune("promotion as boolean", "promote", promote=True),
    tune("promotion as list", "promote", promote=["always"]),
    tune("no promotion", "promote", promote=None),
    tune("dataset as list", "dataset", dataset=ROWS),
    tune("dataset of two forms", "dataset", dataset={"records": ROWS, "x": [], "y": []}),
    tune("dataset without y", "dataset", dataset={"x": [[1]]}),
    tune("four rows to hold out from", "evaluation", dataset="builtin:xor"),
    rows("target that is no column", "target", target="z"),
    rows("target with one class", "target", records=[row | {"y": "same"} for row in ROWS]),
    rows(
        "target in fractions as classes",
        "task",
        task="multiclass",
        records=[row | {"y": row["y"] + 0.25} for row in ROWS],
    ),
    rows(
        "words as numbers",
        "task",
        task="regression",
        records=[row | {"y": "ab"[row["a"] % 2]} for row in ROWS],
    ),
    rows("too few rows", "evaluation", records=ROWS[:5]),
    rows(
        "too few of a class",
        "evaluation",
        records=[row | {"y": "rare" if row["a"] == 0 else "often"} for row in ROWS],
    ),
    rows(
        "more folds than rows",
        "evaluation.folds",
        evaluation={"method": "cv", "folds": 50, "test_fraction": 0},
    ),
    rows("unknown feature", "features.1", features=["a", "c"]),
    rows("the target as feature", "features.0", features=["y"]),
    rows("no rows", "dataset.records", records=[]),
    rows("row that is no object", "dataset.records.1", records=[ROWS[0], 3]),
    rows("cell that is a list", "dataset.records.0.a", records=[{"a": [1], "y": 1}]),
    tune("x without rows", "dataset.x", dataset={"x": [], "y": []}),
    tune("x and y of different length", "dataset.y", dataset={"x": [[1], [2]], "y": [1]}),
    tune("ragged x", "dataset.x", dataset={"x": [[1], [2, 3]], "y": [1, 2]}),
    rows("unknown validation dataset", status=404, evaluation={"validation_dataset": "ds_0"}),
]

UPLOADS = [
    Case(
        "no file",
        "POST /datasets",
        422,
        ("file",),
        {"data": {"name": "x"}, "content_type": "multipart/form-data"},
    ),
    upload("empty file", b"", "file"),
    upload("header without rows", b"a,b\n", "file"),
    upload("JSON that is none", b"{", "file", file="t.json"),
    upload("JSON nested too deeply", b"[" * 100_000, "file", file="t.json"),
    upload("JSON Lines with a bad line", b'{"a": 1}\n{\n', "file", file="t.jsonl"),
    upload("Parquet that is none", b"PAR1 no PAR1", "file", file="t.parquet"),
    upload("NPZ that is none", b"PK no", "file", file="t.npz"),
    upload("unknown field", b"a\n1\n", "label", label="x"),
    upload("types that are no JSON", b"a\n1\n", "types", types="a=number"),
    upload("types nested too deeply", b"a\n1\n", "types", types="[" * 100_000),
    upload("types as list", b"a\n1\n", "types", types="[]"),
    upload("unknown type", b"a\n1\n", "types.a", types='{"a": "money"}'),
    upload("type of no column", b"a\n1\n", "types.b", types='{"b": "number"}'),
    upload("type that a cell denies", b"a\n1\nx\n", "types.a", types='{"a": "number"}'),
    upload("empty name", b"a\n1\n", "name", name=""),
    upload("no table", b"x", "file", file="t.xpt"),
    upload("no spreadsheet", b"x", "file", file="t.xls"),
    inline("no rows at all", "records"),
    inline("both forms", "records", records=ROWS, x=[[1]], y=[1]),
    inline("x alone", "records", x=[[1]]),
    inline("records as object", "records", records={"a": 1}),
    inline("records empty", "records", records=[]),
    inline("cell that is an object", "records.0.a", records=[{"a": {}}]),
    inline("unknown field of the body", "rows", rows=ROWS),
    inline("types as text of the body", "types", records=ROWS, types="a"),
    inline("number beyond all bounds", "records.0.a", records=[{"a": 10**400}]),
]

PREDICTIONS = [
    predict("unknown model", status=404),
    predict("no model", "model", model=...),
    predict("no instances", "instances", instances=...),
    predict("instances as object", "instances", instances={"a": 1}),
    predict("version and alias", "alias", version=1, alias="champion"),
    predict("version as text", "version", version="1"),
    predict("version as boolean", "version", version=True),
    predict("unknown field", "rows", rows=[]),
]

QUERIES = [
    get("limit as text", "/tune?limit=many", "limit"),
    get("limit as fraction", "/tune?limit=1.5", "limit"),
    get("unknown query", "/tune?sate=failed", "sate"),
    get("cursor of no job", "/tune?after=job_0", status=404),
    get("cursor of no dataset", "/datasets?after=ds_0", status=404),
    get("unknown query of datasets", "/datasets?page=2", "page"),
    get("unknown query of models", "/models?sort=name", "sort"),
    get("no such job", "/tune/job_0", status=404),
    get("trials of no job", "/tune/job_0/trials", status=404),
    get("trial of no job", "/tune/job_0/trials/1", status=404),
    get("trial by a huge number", f"/tune/job_0/trials/{HUGE}", status=404),
    get("trial by a name", "/tune/job_0/trials/first", status=404),
    get("no such dataset", "/datasets/ds_0", status=404),
    get("preview of no dataset", "/datasets/ds_0/preview", status=404),
    get("no such model", "/models/m", status=404),
    get("version of no model", "/models/m/versions/1", status=404),
    get("version by a huge number", f"/models/m/versions/{HUGE}", status=404),
    get("file of no version", "/models/m/versions/1/artifacts/model.onnx", status=404),
    get("file outside", "/models/m/versions/1/artifacts/..%2f..%2fluthier.db", status=404),
    Case("delete no job", "DELETE /tune/job_0", 404),
    Case("cancel no job", "POST /tune/job_0/cancel", 404),
    Case("pause no job", "POST /tune/job_0/pause", 404),
    Case("resume no job", "POST /tune/job_0/resume", 404),
    Case("delete no dataset", "DELETE /datasets/ds_0", 404),
    Case("roll back no model", "POST /models/m/rollback", 404),
    Case("alias of no model", "PUT /models/m/aliases/best", 404, (), {"json": {"version": 1}}),
    Case(
        "alias with a bad name",
        "PUT /models/m/aliases/a%20b",
        422,
        ("alias",),
        {"json": {"version": 1}},
    ),
    Case(
        "alias to a version as text",
        "PUT /models/m/aliases/best",
        422,
        ("version",),
        {"json": {"version": "1"}},
    ),
    Case("dry run perhaps", "POST /tune?dry_run=perhaps", 422, ("dry_run",), {"json": TUNE}),
    Case("unknown query of a job", "POST /tune?dryrun=true", 422, ("dryrun",), {"json": TUNE}),
    Case(
        "key too long",
        "POST /tune",
        422,
        ("Idempotency-Key",),
        {"json": TUNE, "headers": {"Idempotency-Key": "k" * 256}},
    ),
    Case(
        "key empty",
        "POST /tune",
        422,
        ("Idempotency-Key",),
        {"json": TUNE, "headers": {"Idempotency-Key": ""}},
    ),
]

CASES = BODIES + FIELDS + STRATEGIES + SPACES + DATA + UPLOADS + PREDICTIONS + QUERIES


def send(client: FlaskClient, case: Case) -> TestResponse:
    method, path = case.call.split(" ", 1)
    options = dict(case.options)
    if isinstance(options.get("data"), dict) and "file" in options["data"]:
        content, name = options["data"]["file"]
        options["data"] = options["data"] | {"file": (io.BytesIO(content), name)}
    return client.open(path, method=method, **options)


@pytest.fixture(scope="module")
def refusing(shared_client: FlaskClient) -> Iterator[FlaskClient]:
    """A client of an API that must have kept nothing in the end."""
    yield shared_client
    for path in ("/tune", "/models"):
        assert shared_client.get(path).get_json()["items"] == []


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_it_is_refused(
    refusing: FlaskClient, refused: Callable[..., dict[str, Any]], case: Case
) -> None:
    errors = refused(send(refusing, case), case.status)
    assert tuple(sorted(errors)) == case.paths
    assert all(messages and all(messages) for messages in errors.values())
