"""Deletion over HTTP: models, versions, aliases, and jobs and datasets by filter; sizes shown."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select, update

from models.jobs.model import JobState
from models.registry.catalog.catalog import ModelCatalog
from models.settings import Settings
from models.store.artifacts import Artifacts
from models.store.engine import Database
from models.store.tables import alias_history, datasets, now
from tests.prometheus import value
from tests.retention.conftest import REQUEST, ROWS, MakeJob, Publish
from tests.waiting import wait_until

Refused = Callable[[Any, int], dict[str, Any]]


def refusal(answer: Any, status: int) -> str:
    assert answer.status_code == status, answer.text
    return str(answer.get_json()["detail"])


def _is_missing(client: FlaskClient, asked: dict[str, Any]) -> bool:
    return client.post("/predict", json=asked).status_code == 404


@pytest.mark.both_databases
@pytest.mark.both_stores
def test_a_deleted_version_answers_no_more_in_any_process(
    settings: Settings,
    connect: Callable[[Settings], FlaskClient],
    publish: Publish,
    artifacts: Artifacts,
) -> None:
    first, second = connect(settings), connect(settings)
    for _ in range(3):
        publish()
    asked = {"model": "m", "version": 2, "instances": [{"x": 1.0}]}
    for client in (first, second):  # either has it loaded now
        assert client.post("/predict", json=asked).get_json()["predictions"] == [4.0]
    assert first.delete("/models/m/versions/2").status_code == 204
    assert not any("models/m/2/" in name for name in artifacts.names())
    for client in (first, second):
        wait_until(partial(_is_missing, client, asked))
        assert client.get("/models/m/versions/2/artifacts/model.onnx").status_code == 404
    assert first.delete("/models/m/versions/2").status_code == 404
    assert [v["version"] for v in first.get("/models/m").get_json()["versions"]] == [3, 1]


def test_a_number_never_comes_to_mean_another_version(
    app_client: FlaskClient, publish: Publish
) -> None:
    assert [publish(), publish()] == [1, 2]
    asked = {"model": "m", "version": 2, "instances": [{"x": 1.0}]}
    assert app_client.post("/predict", json=asked).get_json()["predictions"] == [4.0]
    assert app_client.delete("/models/m").status_code == 204
    assert app_client.get("/models/m").status_code == 404
    assert app_client.get("/models").get_json()["items"] == []
    assert publish() == 3
    assert app_client.post("/predict", json=asked).status_code == 404
    assert app_client.get("/models/m").get_json()["aliases"] == {"champion": 3}


def test_a_version_with_aliases_is_refused_and_the_aliases_are_named(
    app_client: FlaskClient, publish: Publish
) -> None:
    publish()
    for alias in ("stable", "beta"):
        app_client.put(f"/models/m/aliases/{alias}", json={"version": 1})
    said = refusal(app_client.delete("/models/m/versions/1"), 409)
    assert "Aliases point at version 1 of model 'm': beta, champion, stable." in said
    publish()
    for alias in ("stable", "beta"):
        assert app_client.delete(f"/models/m/aliases/{alias}").status_code == 204
        assert app_client.delete(f"/models/m/aliases/{alias}").status_code == 404
    assert app_client.delete("/models/m/versions/1").status_code == 204
    assert app_client.get("/models/m").get_json()["aliases"] == {"champion": 2}


@pytest.mark.parametrize("path", ["", "/versions/1", "/aliases/champion"])
def test_what_is_not_there_is_404(app_client: FlaskClient, path: str) -> None:
    assert app_client.delete(f"/models/nobody{path}").status_code == 404


def test_a_rollback_passes_over_deleted_versions(
    app_client: FlaskClient, publish: Publish, database: Database
) -> None:
    for _ in range(4):
        publish()
    app_client.put("/models/m/aliases/champion", json={"version": 2})
    for version in (3, 4):
        assert app_client.delete(f"/models/m/versions/{version}").status_code == 204
    with database.read() as connection:
        history = select(alias_history.c.version).order_by(alias_history.c.id)
        assert list(connection.execute(history).scalars()) == [1, 2]
    assert app_client.post("/models/m/rollback").get_json()["aliases"] == {"champion": 1}


def test_jobs_are_deleted_by_filter(app_client: FlaskClient, make_job: MakeJob) -> None:
    old = make_job(finished=now() - timedelta(days=40))
    failed = make_job(JobState.FAILED, finished=now() - timedelta(days=3))
    other, running = make_job(model="other"), make_job(JobState.RUNNING)
    queued = app_client.post("/tune", json=app_client.get(f"/tune/{old}").get_json()["request"])
    assert queued.status_code == 202, queued.text

    def delete(**query: Any) -> list[str]:
        answer = app_client.delete("/tune", query_string=query)
        assert answer.status_code == 200, answer.text
        body = answer.get_json()
        assert body["count"] == len(body["ids"])
        assert body["dry_run"] == ("dry_run" in query)
        return list(body["ids"])

    month = (now() - timedelta(days=30)).isoformat()
    assert delete(model="m", dry_run="true") == [old, failed]
    assert delete(before=month) == [old]
    assert delete(before=month) == []
    assert delete(state="failed", model="other") == []
    assert delete(model="m", limit=1) == [failed]
    assert delete(model="other") == [other]
    assert app_client.get(f"/tune/{running}").status_code == 200
    assert delete(state="queued") == [queued.get_json()["id"]]


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/tune", "state"),
        ("/tune?dry_run=true", "state"),
        ("/tune?state=running", "state"),
        ("/tune?before=yesterday", "before"),
        ("/tune?model=", "model"),
        ("/tune?model=m&limit=0", "limit"),
        ("/tune?model=m&older=1", "older"),
        ("/datasets", "before"),
        ("/datasets?unused=false", "before"),
        ("/datasets?unused=perhaps", "unused"),
    ],
)
def test_a_filter_that_is_none_or_wrong_deletes_nothing(
    app_client: FlaskClient, make_job: MakeJob, path: str, field: str
) -> None:
    job = make_job()
    answer = app_client.delete(path)
    assert answer.status_code == 422
    assert field in answer.get_json()["errors"]
    assert app_client.get(f"/tune/{job}").status_code == 200


def test_datasets_are_deleted_by_filter(
    app_client: FlaskClient, make_job: MakeJob, dataset: str, database: Database
) -> None:
    make_job()
    validates = app_client.post("/datasets", json={"records": ROWS["records"][:30]}).get_json()
    free = app_client.post("/datasets", json={"records": ROWS["records"][:20]}).get_json()
    request = REQUEST | {"dataset": dataset}
    request |= {"evaluation": {"validation_dataset": validates["id"]}}
    job = app_client.post("/tune", json=request).get_json()["id"]

    def delete(**query: Any) -> dict[str, Any]:
        return app_client.delete("/datasets", query_string=query).get_json()

    assert delete(unused="true", dry_run="true")["ids"] == [free["id"]]
    assert delete(unused="true")["ids"] == [free["id"]]
    assert delete(before="2020-01-01T00:00:00Z")["ids"] == []
    with database.write() as connection:
        connection.execute(update(datasets).values(created=now() - timedelta(days=9)))
    held = (dataset, validates["id"])
    for dry_run in ("true", "false"):
        found = delete(before=(now() - timedelta(days=8)).isoformat(), dry_run=dry_run, limit=1)
        assert found["ids"] == []
        assert found["kept"] == {each: f"Dataset {each} is in use by job {job}." for each in held}
    app_client.post(f"/tune/{job}/cancel")
    assert delete(before=now().isoformat())["count"] == 2


def test_sizes_are_shown_and_added_up(
    app_client: FlaskClient,
    publish: Publish,
    dataset: str,
    database: Database,
    artifacts: Artifacts,
) -> None:
    publish(), publish()
    model = app_client.get("/models/m").get_json()
    own = model["versions"][0]
    assert own["bytes"] == artifacts.size("models/m/2")
    assert model["bytes"] == artifacts.size("models/m")
    assert app_client.get("/models").get_json()["items"][0]["bytes"] == model["bytes"]
    stored = app_client.get(f"/datasets/{dataset}").get_json()
    assert stored["bytes"] == artifacts.size(f"datasets/{dataset}")
    scraped = app_client.get("/metrics").text
    assert value(scraped, "luthier_bytes", kind="versions") == model["bytes"]
    assert value(scraped, "luthier_bytes", kind="datasets") == stored["bytes"]
    assert value(scraped, "luthier_bytes", kind="weights") == 0
    assert value(scraped, "luthier_bytes", kind="database") == database.bytes() > 10_000
    assert value(scraped, "luthier_removals") == 2
    assert ModelCatalog(database).version("m", 1).bytes == model["bytes"] - own["bytes"]


def test_a_single_deletion_takes_no_parameters(app_client: FlaskClient, dataset: str) -> None:
    answer = app_client.delete(f"/datasets/{dataset}?dry_run=true")
    assert answer.status_code == 422
    assert answer.get_json()["errors"] == {"dry_run": ["Unknown field."]}
    assert app_client.get(f"/datasets/{dataset}").status_code == 200


def test_a_filter_is_given_once(app_client: FlaskClient, make_job: MakeJob) -> None:
    job = make_job()
    answer = app_client.delete("/tune?model=m&model=other")
    assert answer.status_code == 422
    assert answer.get_json()["errors"] == {"model": ["Give it once."]}
    assert app_client.get(f"/tune/{job}").status_code == 200


@pytest.mark.parametrize(
    "before", ["2020-01-01", "0001-01-01T00:00:00%2B14:00", "9999-12-31T23:59:59-14:00"]
)
def test_times_have_a_zone_and_lie_in_years_that_every_zone_has(
    app_client: FlaskClient, before: str
) -> None:
    for call in (f"/tune?before={before}", f"/datasets?before={before}"):
        answer = app_client.delete(f"{call}&dry_run=true")
        assert answer.status_code == 422
        assert "before" in answer.get_json()["errors"]
    assert app_client.get(f"/audit?since={before}").status_code == 422
