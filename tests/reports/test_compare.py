import csv
import io

import matplotlib.image
import pytest

from models.data.preparation.splitting import Evaluation
from models.data.preparation.tasks import Task
from models.oracles.strategy import Bayesian
from models.trials.spec import Objective
from tests.reports.recorded import job_spec, trial_row

METRICS = {"loss": 2.5, "mse": 2.5, "mae": 1.0, "rmse": 1.58, "r2": 0.5}
BASELINE = {"loss": 5.0, "mse": 5.0, "mae": 2.0, "rmse": 2.24, "r2": -0.1}


@pytest.fixture
def two_jobs(record, register):
    """One random and one Bayesian job on the same split; the areas are computed by hand."""
    spec = job_spec()
    evidence = {"test": {"rows": 7, "intervals": {"loss": [2.0, 3.5], "r2": None}}}
    version = register(spec, {"rows": 7}, METRICS, BASELINE, evidence)
    record(
        "job_a",
        [
            trial_row(1, 4.0, ended=5),
            trial_row(2, 2.0, ended=15),
            trial_row(3, None, ended=10),
            trial_row(4, 5.0, ended=20, state="stopped"),
        ],
        spec,
        version=version,
    )
    rows = [trial_row(1, 3.0, ended=5), trial_row(2, 1.0, ended=8)]
    record("job_b", rows, job_spec(model="other", strategy=Bayesian()), state="running")
    return "job_a,job_b"


def test_jobs_stand_side_by_side(app_client, two_jobs):
    body = app_client.get(f"/compare?jobs={two_jobs}").json
    assert body["differences"] == []
    assert (body["area_trials"], body["area_seconds"]) == (4, 20)
    first, second = body["items"]
    assert (first["strategy"], first["state"]) == ("random", "succeeded")
    assert (second["strategy"], second["state"]) == ("bayesian", "running")
    assert (first["best_trial"], first["best_score"], first["spread"]) == (2, 2.0, 0.0)
    assert first["trials"] == {"completed": 2, "failed": 1, "stopped": 1}
    assert first["seconds"] == 90
    assert (first["seconds_to_best"], first["trials_to_best"]) == (15, 3)
    assert first["curve"] == {
        "trials": [1, 2, 3, 4],
        "numbers": [1, 3, 2, 4],
        "seconds": [5, 10, 15, 20],
        "best": [4, 4, 2, 2],
    }
    assert first["area_over_trials"] == pytest.approx(0.75)
    assert first["area_over_seconds"] == pytest.approx(0.875)
    assert second["area_over_trials"] == pytest.approx(0.25)
    assert second["area_over_seconds"] == pytest.approx(0.4)


def test_the_test_of_the_registered_version_is_there(app_client, two_jobs):
    first, second = app_client.get(f"/compare?jobs={two_jobs}").json["items"]
    assert first["version"] == 1
    assert first["held_out"] == {
        "rows": 7,
        "score": 2.5,
        "baseline": 5.0,
        "interval": [2.0, 3.5],
        "baseline_interval": None,
        "metrics": METRICS,
        "baseline_metrics": BASELINE,
    }
    assert second["held_out"] is None


@pytest.mark.parametrize("how", ["query", "header"])
def test_a_comparison_as_csv(app_client, two_jobs, how):
    if how == "query":
        answer = app_client.get(f"/compare?jobs={two_jobs}&format=csv")
    else:
        answer = app_client.get(f"/compare?jobs={two_jobs}", headers={"Accept": "text/csv"})
    assert answer.content_type == "text/csv; charset=utf-8"
    assert "Accept" in answer.headers["Vary"]
    first, second = csv.DictReader(io.StringIO(answer.text))
    assert (first["id"], first["strategy"], first["state"]) == ("job_a", "random", "succeeded")
    assert float(first["best_score"]) == 2
    assert [first[name] for name in ("completed", "failed", "stopped")] == ["2", "1", "1"]
    assert float(first["area_over_trials"]) == pytest.approx(0.75)
    shown = [float(first[f"held_out_{name}"]) for name in ("score", "low", "high", "baseline")]
    assert shown == [2.5, 2.0, 3.5, 5]
    assert second["held_out_score"] == second["version"] == ""


@pytest.mark.parametrize("how", ["query", "header"])
def test_a_comparison_as_png(app_client, two_jobs, how):
    if how == "query":
        answer = app_client.get(f"/compare?jobs={two_jobs}&format=png")
    else:
        answer = app_client.get(f"/compare?jobs={two_jobs}", headers={"Accept": "image/png"})
    assert answer.content_type == "image/png"
    height, width, _ = matplotlib.image.imread(io.BytesIO(answer.data)).shape
    assert width == 14 * 120
    assert height == pytest.approx((7.4 + 2 * 0.34 + 0.25) * 120, abs=1)


def test_a_browser_gets_json(app_client, two_jobs):
    accept = "text/html,application/xhtml+xml,*/*;q=0.8"
    answer = app_client.get(f"/compare?jobs={two_jobs}", headers={"Accept": accept})
    assert answer.content_type == "application/json"


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"target": "other"}, "target: 'target' in job_a, 'other' in job_c"),
        ({"objective": Objective("mae", "min")}, "objective: min loss in job_a, min mae in job_c"),
        ({"seed": 4}, "seed (of the split): 3 in job_a, 4 in job_c"),
        (
            {"evaluation": Evaluation(test_fraction=0.3)},
            "evaluation.test_fraction: 0.1 in job_a, 0.3 in job_c",
        ),
        (
            {"evaluation": Evaluation(method="cv")},
            "evaluation.method: holdout in job_a, cv in job_c",
        ),
        (
            {"evaluation": Evaluation(group="age")},
            "evaluation.group: none in job_a, age in job_c",
        ),
        ({"evaluation": Evaluation(time="age")}, "evaluation.time: none in job_a, age in job_c"),
        (
            {"evaluation": Evaluation(test_fraction=0.0, test_dataset="ds_9")},
            "evaluation.test_dataset: none in job_a, ds_9 in job_c",
        ),
        ({"evaluation": Evaluation(seed=7)}, "seed (of the split): 3 in job_a, 7 in job_c"),
        ({"task": Task.MULTICLASS}, "task: regression in job_a, multiclass in job_c"),
    ],
)
def test_jobs_whose_scores_mean_something_else_are_refused(
    app_client, record, two_jobs, changes, named
):
    record("job_c", [trial_row(1, 1.0)], job_spec(**changes))
    refused = app_client.get("/compare?jobs=job_a,job_c")
    assert refused.status_code == 422
    (message,) = refused.json["errors"]["jobs"]
    assert named in message
    assert "force=true" in message
    forced = app_client.get("/compare?jobs=job_a,job_c&force=true")
    assert forced.status_code == 200
    assert any(named in text for text in forced.json["differences"])
    assert len(forced.json["items"]) == 2
    png = app_client.get("/compare?jobs=job_a,job_c&force=true&format=png")
    assert png.data.startswith(b"\x89PNG")


def test_other_rows_are_another_dataset(app_client, record, two_jobs):
    record("job_c", [trial_row(1, 1.0)], job_spec(dataset="ds_2"), dataset="ds_2")
    refused = app_client.get("/compare?jobs=job_a,job_c").json
    assert "dataset: ds_1 in job_a, ds_2 in job_c" in refused["detail"]
    forced = app_client.get("/compare?jobs=job_a,job_c&force=1").json["items"]
    assert [job["area_over_trials"] for job in forced] == [None, None]
    assert [job["area_over_seconds"] for job in forced] == [None, None]


def test_areas_of_forced_jobs_on_another_split_are_there(app_client, record, two_jobs):
    record("job_c", [trial_row(1, 1.0)], job_spec(seed=4))
    forced = app_client.get("/compare?jobs=job_a,job_c&force=true").json["items"]
    assert forced[1]["area_over_trials"] == 0


def test_a_builtin_dataset_is_the_same_before_and_after_it_was_loaded(app_client, record, two_jobs):
    record("job_c", [], job_spec(), state="queued", dataset=None, started=None, finished=None)
    record("job_d", [], job_spec(dataset="ds_1"), dataset="ds_1")
    body = app_client.get("/compare?jobs=job_c,job_d,job_a").json
    assert body["differences"] == []
    assert body["items"][0]["curve"]["best"] == []
    assert body["items"][0]["best_score"] is None
    assert body["items"][0]["area_over_trials"] == 1


def test_what_has_no_influence_on_the_split_is_no_difference(app_client, record):
    cross = {"evaluation": Evaluation(method="cv", folds=3)}
    record("job_a", [], job_spec(**cross))
    cross = {"evaluation": Evaluation(method="cv", folds=3, validation_fraction=0.3)}
    record("job_b", [], job_spec(**cross))
    assert app_client.get("/compare?jobs=job_a,job_b").status_code == 200
    train = Evaluation(method="train", test_fraction=0.0)
    record("job_c", [], job_spec(evaluation=train, seed=1))
    record("job_d", [], job_spec(evaluation=train, seed=2))
    assert app_client.get("/compare?jobs=job_c,job_d").status_code == 200
    record("job_e", [], job_spec(evaluation=Evaluation(seed=7), seed=1))
    record("job_f", [], job_spec(evaluation=Evaluation(), seed=7))
    assert app_client.get("/compare?jobs=job_e,job_f").status_code == 200


def test_unknown_and_repeated_jobs_and_wrong_numbers_of_them_are_refused(app_client, two_jobs):
    assert app_client.get("/compare?jobs=job_a,job_x").status_code == 404
    assert "job_x" in app_client.get("/compare?jobs=job_a,job_x").json["detail"]
    for jobs in ("job_a", "job_a,job_a", ",".join(f"job_{n}" for n in range(21)), ""):
        refused = app_client.get(f"/compare?jobs={jobs}")
        assert refused.status_code == 422, jobs
        assert any(path.startswith("jobs") for path in refused.json["errors"]), jobs
    assert app_client.get("/compare").status_code == 422
    assert app_client.get(f"/compare?jobs={two_jobs}&format=xml").status_code == 422


def test_twenty_jobs_without_a_score_are_compared_and_drawn(app_client, record):
    jobs = ",".join(record(f"job_{n:02}", []) for n in range(20))
    assert len(app_client.get(f"/compare?jobs={jobs}").json["items"]) == 20
    answer = app_client.get(f"/compare?jobs={jobs}&format=png")
    height, width, _ = matplotlib.image.imread(io.BytesIO(answer.data)).shape
    assert width == 1680
    assert height > width
