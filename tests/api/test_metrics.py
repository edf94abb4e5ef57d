"""`/metrics` of one process; several are tested in tests/test_api_processes.py."""

from collections.abc import Callable
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from models.settings import Settings
from models.store.engine import Database
from tests.prometheus import samples, value

KEY = "a-key-of-the-settings-that-needs-no-database"


@pytest.fixture
def scrape(app_client: FlaskClient) -> Callable[[], str]:
    def ask() -> str:
        return app_client.get("/metrics").get_data(as_text=True)

    return ask


def test_requests_are_counted_by_route_method_and_status(app_client, scrape) -> None:
    for path in ("/tune/a", "/tune/b", "/models"):
        app_client.get(path)
    text, total = scrape(), "luthier_http_requests_total"
    assert value(text, total, route="/tune/{job}", method="GET", status="4xx") == 2
    assert value(text, total, route="/models", method="GET", status="2xx") == 1
    assert value(text, "luthier_http_request_seconds_count", route="/models", method="GET") == 1


def test_what_anyone_can_make_up_makes_no_label(app_client, scrape) -> None:
    for n in range(3):
        app_client.get(f"/nowhere/{n}")
        app_client.open("/models", method=f"BREW{n}")
        wanted = {"model": f"model-{n}", "instances": [[1]]}
        assert app_client.post("/predict", json=wanted).status_code == 404
    found = samples(scrape())
    routes = {(own["method"], own["route"]) for own, _ in found["luthier_http_requests_total"]}
    assert routes == {("GET", "none"), ("other", "none"), ("POST", "/predict")}
    assert "luthier_predictions_total" not in found
    assert "luthier_predicted_rows_total" not in found


def test_without_a_database_the_process_still_answers_for_itself(
    tmp_path: Path, connect: Callable[[Settings], FlaskClient]
) -> None:
    settings = Settings(
        database_url=f"sqlite:///{tmp_path}", data=str(tmp_path), api_keys=f"prometheus:read:{KEY}"
    )
    client, key = connect(settings), {"Authorization": f"Bearer {KEY}"}
    assert client.get("/healthz").status_code == 200
    assert client.get("/models", headers=key).status_code == 503
    answer = client.get("/metrics", headers=key)
    assert answer.status_code == 200
    text = answer.get_data(as_text=True)
    assert value(text, "luthier_database_up") == 0
    assert "luthier_jobs" not in samples(text)
    assert value(text, "luthier_http_requests_total", route="/models", status="5xx") == 1


def test_figures_of_the_database_are_those_of_this_moment(
    app_client, scrape, database: Database
) -> None:
    assert value(scrape(), "luthier_jobs", state="queued") == 0
    wanted = {"model": "iris", "dataset": "builtin:iris", "target": "target"}
    assert app_client.post("/tune", json=wanted).status_code == 202
    text = scrape()
    assert value(text, "luthier_database_up") == 1
    assert value(text, "luthier_jobs", state="queued") == 1
    assert value(text, "luthier_queue_age_seconds") > 0


@pytest.mark.parametrize("accept", ["text/plain;version=0.0.4", "application/openmetrics-text"])
def test_the_format_is_the_one_asked_for(app_client, accept: str) -> None:
    answer = app_client.get("/metrics", headers={"Accept": accept})
    assert answer.headers["Content-Type"].startswith(accept.split(";")[0])
    assert answer.get_data(as_text=True).endswith("# EOF\n") == ("openmetrics" in accept)


def test_a_file_that_was_sent_is_in_flight_no_longer(app_client, scrape) -> None:
    for _ in range(3):
        with app_client.get("/docs/assets/swagger-ui.css") as answer:
            assert answer.status_code == 200
    assert value(scrape(), "luthier_http_requests_in_flight") == 1, "the scrape itself"
