"""The clients against a real service: handles, DataFrames, errors, and the asynchronous twin."""

import asyncio
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import httpx
import pandas as pd
import pytest

from luthier.client import (
    AsyncClient,
    Client,
    InvalidRequest,
    Job,
    JobFailed,
    NotFound,
    RequestRefused,
    ServerFailed,
)
from luthier.client.requests import tuning_request
from tests.conftest import Service
from tests.readme import ROOT
from tests.waiting import PATIENCE

PENGUINS = ROOT / "examples" / "penguins.csv"
QUICK: dict[str, Any] = {
    "epochs": 2,
    "trials": 2,
    "strategy": "random",
    "space": {"num_layers": 1, "units": {"type": "choice", "values": [4, 8]}},
    "evaluation": {"method": "holdout"},
    "ensemble": 1,
}


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    """Penguins with an index that is no row number."""
    read = pd.read_csv(PENGUINS)
    return read.set_index("p" + read.index.astype(str))


@pytest.fixture(scope="module")
def job(client: Client, frame: pd.DataFrame) -> Job:
    """A job that was started with a DataFrame."""
    return client.tune(frame, target="species", model="client-species", **QUICK).wait()


def test_a_frame_is_tuned_and_its_budget_is_that_of_the_shortcuts(job: Job) -> None:
    assert job.state == "succeeded", job["error"]
    assert (job.is_over, job.score) == (True, job["best_trial"]["score"])
    budget = job["request"]["budget"]
    assert (budget["max_trials"], budget["epochs"]) == (2, 2)


def test_a_frame_is_predicted_with_its_index(job: Job, frame: pd.DataFrame, client: Client) -> None:
    found = job.model().predict(frame)
    assert list(found.index) == list(frame.index)
    assert next(iter(found.columns)) == "prediction"
    shares = found.filter(like="probability_")
    assert shares.sum(axis=1).to_list() == pytest.approx([1.0] * len(frame))
    rows = json.loads(frame.head(3).to_json(orient="records"))
    answer = client.predict("client-species", rows)
    assert answer["predictions"] == found["prediction"].head(3).to_list()
    with_sets = client.predict("client-species", frame.head(3), interval=0.9)
    assert all(isinstance(labels, list) for labels in with_sets["labels"])
    assert client.predict("client-species", frame.head(0)).empty


def test_a_frame_of_more_rows_than_a_request_takes_is_sent_in_parts(
    job: Job, frame: pd.DataFrame
) -> None:
    many = pd.concat([frame] * 31)
    found = job.model().predict(many)
    assert len(found) == len(many) > 10_000
    assert (
        found["prediction"].to_list()[-len(frame) :] == found["prediction"].to_list()[: len(frame)]
    )


def test_trials_are_all_there_and_become_a_frame(job: Job, client: Client) -> None:
    table = job.trials(sort="score").to_frame()
    assert next(iter(table.index)) == job["best_trial"]["number"]
    assert table["score"].is_monotonic_increasing
    assert set(table["units"]) == {4, 8}
    assert [trial["number"] for trial in client.trials(job.id, limit=1)] == [1]


def test_handles_bring_themselves_up_to_date(job: Job, client: Client) -> None:
    seen = client.job(job.id)
    assert seen == job
    assert json.loads(json.dumps(seen)) == seen
    assert [found.id for found in client.jobs(model="client-species")] == [job.id]
    model = client.model("client-species")
    assert (model.name, model.champion, model.version()["version"]) == ("client-species", 1, 1)
    assert [event["event"] for event in job.events()][-1]


def test_a_dataset_knows_its_types_and_can_be_tuned(client: Client, frame: pd.DataFrame) -> None:
    dataset = client.upload(frame, name="frame of penguins")
    assert (dataset.rows, dataset.types["species"]) == (len(frame), "category")
    assert dataset.id in [found.id for found in client.datasets()]
    assert len(client.preview(dataset.id, rows=2)) == 2
    plan = client.plan(dataset, target="species", model="client-never", **QUICK)
    assert plan["request"]["dataset"] == dataset.id


def test_a_dataset_is_read_again_with_other_types(client: Client, frame: pd.DataFrame) -> None:
    dataset = client.upload(PENGUINS)
    again = client.read_again(dataset.id, types={"body_mass_g": "category"})
    assert (dataset.types["body_mass_g"], again.types["body_mass_g"]) == ("number", "category")
    assert again.id != dataset.id
    assert again.rows == dataset.rows == len(frame)


def test_a_version_that_no_alias_names_is_deleted(job: Job, client: Client) -> None:
    graph = b"".join(client.download("client-species", job["version"], "model.onnx"))
    files = {"file": ("model.onnx", graph)}
    made = client.request("POST", "/models/client-species/versions", files=files).json()
    client.delete_version("client-species", made["version"])
    with pytest.raises(NotFound):
        client.version("client-species", made["version"])
    with pytest.raises(RequestRefused):
        client.delete_version("client-species", job["version"])  # the champion
    assert client.version("client-species", job["version"])["version"] == job["version"]


def test_what_is_tuned_may_be_a_path_an_id_or_a_request() -> None:
    request, upload = tuning_request(PENGUINS, "species", {"trials": 2, "space": {"units": 8}})
    assert request["budget"] == {"max_trials": 2}
    assert request["search_space"] == {"units": 8}
    assert upload is not None
    assert upload.name == "penguins.csv"
    assert tuning_request("builtin:iris", None, {})[0] == {
        "dataset": "builtin:iris",
        "model": "iris",
    }
    assert tuning_request({"budget": {"epochs": 3}}, "a", {"trials": 2}) == (
        {"target": "a", "budget": {"epochs": 3, "max_trials": 2}},
        None,
    )


def test_everything_shows_itself_as_html_without_trusting_names(job: Job, client: Client) -> None:
    hostile = Job(None, {**job, "model": "<script>"})  # type: ignore[arg-type]
    assert "<script>" not in hostile._repr_html_()
    assert "<progress" in job._repr_html_()
    assert "species" in client.dataset(job["dataset"])._repr_html_()
    assert "champion" in client.model("client-species")._repr_html_()
    assert "units" in job.trials()._repr_html_()


def test_progress_is_told_where_it_is_asked_for(
    job: Job, client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    client.job(job.id).wait()
    assert capsys.readouterr().err == ""
    client.job(job.id).wait(progress=True)
    assert capsys.readouterr().err.startswith("succeeded · 2/2 trials · best loss ")


def test_errors_are_exact(client: Client) -> None:
    with pytest.raises(NotFound) as missing:
        client.job("job_none")
    assert missing.value.problem["status"] == missing.value.status == 404
    assert missing.value.request_id
    with pytest.raises(InvalidRequest) as invalid:
        client.tune("builtin:iris", target="no column", strategy="guess")
    assert "strategy.name" in invalid.value.errors
    assert isinstance(invalid.value, RequestRefused)


def test_a_name_is_one_part_of_an_address(client: Client) -> None:
    for name in ("a?b=1", "a#b", "a%2Fb"):
        with pytest.raises(NotFound, match=re.escape(name)):
            client.job(name)
        with pytest.raises(NotFound, match=re.escape(name)):
            client.model(name)


def test_a_job_without_a_version_has_no_model(client: Client) -> None:
    many = {**QUICK, "trials": 500, "epochs": 100}
    started = client.tune(PENGUINS, target="year", model="client-cancelled", **many)
    cancelled = started.cancel().wait()
    assert cancelled.state == "cancelled"
    with pytest.raises(JobFailed) as failure:
        cancelled.model()
    assert failure.value.job == cancelled
    started.delete()
    with pytest.raises(NotFound):
        started.refresh()


def test_an_answer_that_is_no_problem_is_an_error_too() -> None:
    class Proxy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(502)
            self.end_headers()
            self.wfile.write(b"<h1>Bad gateway</h1>")

    with HTTPServer(("127.0.0.1", 0), Proxy) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        with (
            Client(f"http://127.0.0.1:{server.server_port}") as client,
            pytest.raises(ServerFailed) as failure,
        ):
            client.job("job_a")
    assert failure.value.problem["detail"] == "<h1>Bad gateway</h1>"


def test_the_environment_names_the_service(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LUTHIER_URL", service.url)
    with Client() as client:
        assert client.url == service.url
        assert client.request("GET", "/healthz").json() == {"status": "ok"}
    monkeypatch.delenv("LUTHIER_URL")
    with Client() as client:
        assert client.url == "http://127.0.0.1:8000"


def test_the_asynchronous_client_does_the_same(
    service: Service, frame: pd.DataFrame, job: Job
) -> None:
    async def work() -> None:
        async with AsyncClient(service.url, timeout=PATIENCE) as client:
            made = await client.tune(PENGUINS, target="sex", model="client-async", **QUICK)
            states = [found.state async for found in client.watch(made.id, every=0.1)]
            assert states[-1] == "succeeded"
            await made.wait()
            model = await made.model()
            first, second = await asyncio.gather(
                model.predict(frame), client.predict("client-species", frame)
            )
            assert list(first.index) == list(second.index) == list(frame.index)
            events = [event["event"] async for event in made.events()]
            assert events
            pieces = [piece async for piece in client.download(model.name, 1, "signature.json")]
            assert json.loads(b"".join(pieces))
            with pytest.raises(NotFound):
                await client.job("job_none")
            with pytest.raises(httpx.HTTPError):
                await AsyncClient("http://127.0.0.1:1").job("job_none")

    asyncio.run(work())
