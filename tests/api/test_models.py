import hashlib
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import update
from werkzeug.test import TestResponse

from luthier.client import RequestRefused
from models.registry.catalog.catalog import ModelCatalog
from models.store.engine import Database
from models.store.tables import versions
from tests.foreign_graphs import linear
from tests.registry.recipes import blocks, with_rows

Refused = Callable[..., dict[str, Any]]

FILES = {
    *("README.md", "model.onnx", "model.keras", "preprocessing.onnx", "preprocessing.json"),
    *("signature.json", "calibration.json", "held_out.json", "profile.json", "evidence.json"),
}


@pytest.fixture
def publish(database: Database) -> Callable[[str], int]:
    """Publish the next version of a model, without files."""
    catalog = ModelCatalog(database)

    def publish_next(model: str) -> int:
        details = {"metrics": {"r2": 0.5}, "baseline": None}
        version = catalog.reserve(model, "regression", "job_1", 1)
        with database.write() as connection:
            catalog.publish(connection, model, version, 1, {}, details)
        return version

    return publish_next


@pytest.fixture
def flats(trained: Any) -> Iterator[Any]:
    """The trained models; their champions are put back afterwards."""
    yield trained
    trained.http.put("/models/flats/aliases/champion", json={"version": 2})


def test_models_come_by_name_in_pages(app_client: FlaskClient, publish) -> None:
    for model in ("b", "a", "c", "b"):
        publish(model)
    first = app_client.get("/models?limit=2").get_json()
    assert [(model["name"], model["latest_version"]) for model in first["items"]] == [
        ("a", 1),
        ("b", 2),
    ]
    rest = app_client.get(f"/models?limit=2&after={first['next']}").get_json()
    assert [model["name"] for model in rest["items"]] == ["c"]
    assert rest["next"] is None


def test_a_version_that_is_not_finished_is_not_seen(
    app_client: FlaskClient, publish, database: Database, refused: Refused
) -> None:
    ModelCatalog(database).reserve("a", "regression", "job_1", 1)
    refused(app_client.get("/models/a"), 404)
    assert app_client.get("/models").get_json()["items"] == []
    assert publish("a") == 1
    assert ModelCatalog(database).reserve("a", "regression", "job_2", 1) == 2
    assert app_client.get("/models/a").get_json()["latest_version"] == 1
    refused(app_client.get("/models/a/versions/2"), 404)
    refused(app_client.put("/models/a/aliases/x", json={"version": 2}), 404)
    refused(app_client.post("/predict", json={"model": "a", "version": 2, "instances": [1]}), 404)


def test_the_newest_version_is_the_champion(app_client: FlaskClient, publish) -> None:
    for _ in range(3):
        publish("a")
    model = app_client.get("/models/a").get_json()
    assert model["aliases"] == {"champion": 3}
    assert [version["version"] for version in model["versions"]] == [3, 2, 1]
    assert model["versions"][0]["metrics"] == {"r2": 0.5}


@pytest.mark.parametrize("details", ["of another version", {"metrics": "of another version"}, {}])
def test_a_version_that_cannot_be_read_hides_no_other(
    app_client: FlaskClient, publish, database: Database, details: Any
) -> None:
    for _ in range(2):
        publish("a")
    with database.write() as connection:
        connection.execute(update(versions).where(versions.c.version == 1).values(details=details))
    found = app_client.get("/models/a").get_json()
    assert [version["metrics"] for version in found["versions"]] == [{"r2": 0.5}, None]
    assert app_client.get("/models").get_json()["items"][0]["latest_version"] == 2


def test_no_nan_leaves(app_client: FlaskClient, publish, database: Database) -> None:
    publish("a")
    details = {"metrics": {"r2": float("nan"), "mae": 0.5}, "baseline": None}
    with database.write() as connection:
        connection.execute(update(versions).values(details=details))
    (version,) = app_client.get("/models/a").get_json()["versions"]
    assert version["metrics"] == {"r2": None, "mae": 0.5}


def test_an_alias_can_be_pointed_anywhere(
    app_client: FlaskClient, publish, refused: Refused
) -> None:
    for _ in range(2):
        publish("a")
    for version in (1, 2, 1):
        response = app_client.put("/models/a/aliases/stable", json={"version": version})
        assert response.get_json()["aliases"] == {"champion": 2, "stable": version}
    refused(app_client.put("/models/a/aliases/stable", json={"version": 9}), 404)
    assert app_client.get("/models/a").get_json()["aliases"]["stable"] == 1


def test_a_rollback_goes_back_step_by_step(
    app_client: FlaskClient, publish, refused: Refused
) -> None:
    for _ in range(3):
        publish("a")
    champions = [
        app_client.post("/models/a/rollback").get_json()["aliases"]["champion"] for _ in range(2)
    ]
    assert champions == [2, 1]
    refused(app_client.post("/models/a/rollback"), 409)
    publish("a")
    assert app_client.post("/models/a/rollback").get_json()["aliases"] == {"champion": 1}


def test_a_rollback_from_a_version_goes_back_once(
    app_client: FlaskClient, publish, refused: Refused
) -> None:
    for _ in range(3):
        publish("a")
    first, second = (app_client.post("/models/a/rollback", json={"from": 3}) for _ in range(2))
    assert first.get_json()["aliases"] == {"champion": 2}
    refused(second, 409)
    assert second.get_json()["detail"] == "The champion of model 'a' is version 2."
    assert app_client.get("/models/a").get_json()["aliases"] == {"champion": 2}
    for body, path in (({"from": "3"}, "from"), ({"from": 0}, "from"), ({"to": 1}, "to")):
        assert list(refused(app_client.post("/models/a/rollback", json=body), 422)) == [path]


def test_an_alias_moves_only_from_the_version_that_is_named(
    app_client: FlaskClient, publish, refused: Refused
) -> None:
    for _ in range(3):
        publish("a")

    def point(version: int, condition: str | None, alias: str = "stable") -> TestResponse:
        headers = {} if condition is None else {"If-Match": condition}
        path = f"/models/a/aliases/{alias}"
        return app_client.put(path, json={"version": version}, headers=headers)

    refused(point(1, "*"), 412)  # there is none
    made = point(1, None)
    assert made.headers["ETag"] == '"1"'
    assert point(2, made.headers["ETag"]).get_json()["aliases"]["stable"] == 2
    refused(point(3, made.headers["ETag"]), 412)
    assert point(3, '"1", "2"').status_code == 200
    assert point(1, "*").status_code == 200
    refused(point(2, '"1"', alias="none"), 412)
    for unreadable in ("garbage garbage", '"1', '"1" garbage', ","):
        refused(point(2, unreadable), 412)
    assert app_client.get("/models/a").get_json()["aliases"] == {"champion": 3, "stable": 1}


@pytest.mark.both_databases
def test_of_two_that_move_an_alias_from_a_version_one_does(
    app_client: FlaskClient, publish, database: Database
) -> None:
    for _ in range(5):
        publish("a")
    together = threading.Barrier(4)

    def move(version: int) -> int:
        client = app_client.application.test_client()
        together.wait()
        sent = {"json": {"version": version}, "headers": {"If-Match": '"5"'}}
        return client.put("/models/a/aliases/champion", **sent).status_code

    with ThreadPoolExecutor(4) as threads:
        assert sorted(threads.map(move, range(1, 5))) == [200, 412, 412, 412]


def test_pointing_the_champion_where_it_is_costs_no_rollback(
    app_client: FlaskClient, publish
) -> None:
    for _ in range(2):
        publish("a")
    for _ in range(3):
        app_client.put("/models/a/aliases/champion", json={"version": 2})
    assert app_client.post("/models/a/rollback").get_json()["aliases"] == {"champion": 1}


@pytest.mark.both_databases
def test_the_history_of_an_alias_tells_every_move(app_client: FlaskClient, publish) -> None:
    for _ in range(3):
        publish("a")
    path = "/models/a/aliases/champion"
    app_client.put(path, json={"version": 1, "reason": "It was better."})
    app_client.put(path, json={"version": 1, "reason": "Nothing moves."})
    app_client.post("/models/a/rollback", json={"from": 1, "reason": "It was not."})
    app_client.post("/models/a/rollback")
    app_client.delete(path)
    app_client.put(path, json={"version": 3})
    items = app_client.get(f"{path}/history").get_json()["items"]
    told = [(move["from"], move["to"], move["by"], move["reason"]) for move in items]
    assert told[:5] == [
        (None, 3, "anonymous", "It was pointed there by hand."),
        (2, None, "anonymous", "The alias was deleted."),
        (3, 2, "anonymous", "It was rolled back."),
        (1, 3, "anonymous", "It was not."),
        (3, 1, "anonymous", "It was better."),
    ]
    made = [(move["from"], move["to"], move["job"]) for move in items[5:]]
    assert made == [(2, 3, "job_1"), (1, 2, "job_1"), (None, 1, "job_1")]
    assert items[5]["promotion"]["reason"] == items[5]["reason"]
    (shown, *_) = app_client.get("/models/a").get_json()["versions"]
    assert shown["promotion"] == items[5]["promotion"]
    pages: list[dict[str, Any]] = []
    after: int | str | None = ""
    while after is not None:
        page = app_client.get(f"{path}/history?limit=3{after and f'&after={after}'}").get_json()
        pages, after = [*pages, *page["items"]], page["next"]
    assert pages == items
    times = [move["time"] for move in items]
    assert times == sorted(times, reverse=True)


def test_only_what_had_an_alias_has_a_history(
    app_client: FlaskClient, publish, refused: Refused
) -> None:
    refused(app_client.get("/models/a/aliases/champion/history"), 404)
    publish("a")
    refused(app_client.get("/models/a/aliases/none/history"), 404)
    beyond = app_client.get("/models/a/aliases/champion/history?after=1").get_json()
    assert beyond["items"] == []
    for query in ("after=x", "after=0", "limit=0"):
        refused(app_client.get(f"/models/a/aliases/champion/history?{query}"), 422)
    app_client.delete("/models/a")
    refused(app_client.get("/models/a/aliases/champion/history"), 404)
    publish("a")
    (move,) = app_client.get("/models/a/aliases/champion/history").get_json()["items"]
    assert move["to"] == 2


def test_a_model_lets_better_versions_in_until_it_does_not(
    app_client: FlaskClient, publish, refused: Refused
) -> None:
    refused(app_client.patch("/models/a", json={"auto_promote": True}), 404)
    publish("a")
    assert app_client.get("/models/a").get_json()["auto_promote"] is False
    for wanted in (True, True, False, True):
        changed = app_client.patch("/models/a", json={"auto_promote": wanted}).get_json()
        assert changed["auto_promote"] is wanted
        assert app_client.get("/models").get_json()["items"] == [changed]
    for body in ({}, {"auto_promote": "yes"}, {"auto_promote": None}):
        refused(app_client.patch("/models/a", json=body), 422)
    app_client.delete("/models/a")
    publish("a")
    assert app_client.get("/models/a").get_json()["auto_promote"] is False


def test_what_was_trained_is_listed(trained: Any) -> None:
    items = trained.http.get("/models").json()["items"]
    assert {"flats", "iris", "stock"} <= {model["name"] for model in items}
    model = trained.http.get("/models/flats").json()
    assert model["latest_version"] == 2
    assert [version["version"] for version in model["versions"]] == [2, 1]
    assert model["versions"][0]["task"] == "regression"


def test_a_version_tells_where_it_comes_from(trained: Any) -> None:
    version, job = trained.client.version("flats", 2), trained.jobs["flats"]
    assert (version["job"], version["trial"]) == (job["id"], job["best_trial"]["number"])
    assert version["evidence"]["lineage"]["dataset"] == job["dataset"]
    assert version["aliases"] == ["champion"]
    assert set(version["metrics"]) >= {"mse", "mae", "rmse", "r2"}
    assert set(version["baseline"]) >= {"mae"}
    members = version["evidence"]["ensemble"]["members"]
    assert sum(member["networks"] for member in members) == 8
    sizes = {each["number"]: each["parameters"] for each in trained.client.trials(job["id"])}
    size = sum(member["networks"] * sizes[member["trial"]] for member in members)
    assert version["parameters"] == size
    assert {column["name"] for column in version["signature"]["columns"]} == set(trained.rows[0])
    assert version["layers"]
    assert "Dense" in version["summary"] or "dense" in version["summary"]


def test_every_file_can_be_downloaded_and_is_the_one_that_was_written(trained: Any) -> None:
    files = trained.client.version("flats", 2)["files"]
    assert set(files) == FILES
    for name, file in files.items():
        response = trained.http.get(f"/models/flats/versions/2/artifacts/{name}")
        assert response.status_code == 200
        assert hashlib.sha256(response.content).hexdigest() == file["sha256"]
        assert len(response.content) == file["bytes"]
        assert response.headers["ETag"] == f'"{file["sha256"]}"'
        assert name in response.headers["Content-Disposition"]


def test_a_server_sends_parts_and_headers_of_a_file(trained: Any) -> None:
    path = "/models/flats/versions/2/artifacts/model.keras"
    whole = trained.http.get(path)
    head = trained.http.head(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["Content-Length"] == str(len(whole.content))
    part = trained.http.get(path, headers={"Range": "bytes=-9", "If-Range": whole.headers["ETag"]})
    assert (part.status_code, part.content) == (206, whole.content[-9:])
    known = trained.http.get(path, headers={"If-None-Match": whole.headers["ETag"]})
    assert (known.status_code, known.content) == (304, b"")
    assert trained.http.get(path, headers={"Range": "bytes=999999999-"}).status_code == 416


def test_the_client_imports_a_graph(trained: Any, tmp_path: Path) -> None:
    file = tmp_path / "theirs.onnx"
    file.write_bytes(linear(2))
    version = trained.client.import_version("theirs", file, columns=["a", "b"])
    assert version["source"] == "imported"
    assert trained.client.predict("theirs", [{"a": 1, "b": 2}])["predictions"] == [5.0]
    assert trained.client.version("flats", 1)["source"] == "trained"


@pytest.mark.parametrize("model", ["flats", "stock"])
def test_the_program_of_the_readme_answers_as_predict(
    trained: Any, model: str, tmp_path: Path
) -> None:
    for name in ("README.md", "model.onnx", "signature.json"):
        response = trained.http.get(f"/models/{model}/versions/1/artifacts/{name}")
        (tmp_path / name).write_bytes(response.content)
    rows = trained.rows[:9]  # with missing cells
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    program = blocks((tmp_path / "README.md").read_text(encoding="utf-8"))[0]
    program = with_rows(program) + "print(json.dumps(predictions))"
    done = subprocess.run(
        [sys.executable, "-P", "-c", program], cwd=tmp_path, capture_output=True, check=True
    )
    answer = trained.http.post("/predict", json={"model": model, "version": 1, "instances": rows})
    found = json.loads(done.stdout.splitlines()[-1])
    if model == "flats":
        assert found == pytest.approx(answer.json()["predictions"], rel=1e-4)
    else:
        assert found == answer.json()["predictions"]


def test_the_evidence_names_the_digests_of_the_other_files(trained: Any) -> None:
    version = trained.client.version("flats", 2)
    evidence = trained.http.get("/models/flats/versions/2/artifacts/evidence.json").json()
    assert evidence == version["evidence"]
    assert evidence["files"] == {
        name: file["sha256"] if isinstance(evidence["files"][name], str) else file
        for name, file in version["files"].items()
        if name != "evidence.json"
    }


def test_a_file_that_no_version_has_is_not_found(trained: Any) -> None:
    for path in ("2/artifacts/model.h5", "9/artifacts/model.onnx", "2/artifacts/..%2F1"):
        assert trained.http.get(f"/models/flats/versions/{path}").status_code == 404


def test_predictions_follow_alias_and_rollback(flats: Any) -> None:
    def predict(**options: Any) -> dict[str, Any]:
        found: dict[str, Any] = flats.client.predict("flats", flats.rows[:3], **options)
        del found["prediction_id"]  # of one answer alone
        return found

    by_version = {n: predict(version=n) for n in (1, 2)}
    assert predict() == by_version[2]
    assert flats.http.put("/models/flats/aliases/trial", json={"version": 1}).is_success
    assert predict(alias="trial") == by_version[1]
    assert flats.http.post("/models/flats/rollback").json()["aliases"]["champion"] == 1
    assert predict() == by_version[1]
    assert flats.http.post("/models/flats/rollback").status_code == 409
    assert flats.http.put("/models/flats/aliases/champion", json={"version": 2}).is_success
    assert predict() == by_version[2]


def test_a_deleted_job_leaves_its_version(trained: Any) -> None:
    request = trained.jobs["stock"]["request"] | {"model": "left"}
    job = trained.client.wait(trained.client.tune(request)["id"])
    assert trained.http.delete(f"/tune/{job['id']}").status_code == 204
    row = {"area": 50.0, "town": "Graz"}
    assert trained.client.predict("left", [row])["version"] == 1
    with pytest.raises(RequestRefused, match="404"):
        trained.client.job(job["id"])
