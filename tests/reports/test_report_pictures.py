from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from sqlalchemy import select, update

from models.data.preparation.splitting import Evaluation
from models.data.preparation.tasks import Task
from models.store.tables import versions
from models.trials.spec import Constraint, Objective
from tests.reports.pictures import (
    CLASSES,
    LEARNING,
    NOTE,
    PREDICTED,
    PROGRESS,
    SEARCH,
    answers,
    classification,
    decode,
    drawn_height,
    inches,
    read_picture,
    rows,
)
from tests.reports.recorded import job_spec, trial_row


def test_a_regression_is_drawn_in_full(app_client, record, register):
    spec = job_spec()
    metrics = {"loss": 1.25, "mse": 1.25, "r2": 0.875}
    version = register(spec, answers("regression"), metrics, {"loss": 4.5, "mse": 4.5})
    record("job_a", [*rows(12), trial_row(13, None)], spec, version=version)
    assert drawn_height(app_client, "job_a") == inches(SEARCH, PREDICTED, NOTE, NOTE)


@pytest.mark.parametrize(
    ("task", "classes"),
    [(Task.BINARY, [False, True]), (Task.MULTICLASS, ["Adelie", "企鹅 $x^$", "Gentoo"])],
)
def test_a_classification_shows_confusion_and_roc(app_client, record, register, task, classes):
    spec = classification(task)
    metrics = {"loss": 0.5, "accuracy": 0.75}
    version = register(spec, answers(str(task), classes), metrics, metrics)
    record("job_a", rows(12), spec, version=version)
    assert drawn_height(app_client, "job_a") == inches(SEARCH, LEARNING, CLASSES, NOTE, NOTE)


def test_many_classes_are_drawn(app_client, record, register):
    spec = classification(Task.MULTICLASS)
    version = register(spec, answers("multiclass", list(range(40)), rows=200), {}, {})
    record("job_a", rows(3), spec, version=version)
    assert drawn_height(app_client, "job_a") == inches(SEARCH, LEARNING, CLASSES, NOTE, NOTE)


def test_test_rows_of_one_class_are_drawn_without_roc(app_client, record, register):
    spec = classification(Task.BINARY)
    given = answers("binary", ["no", "yes"])
    version = register(spec, given | {"truth": ["no"] * 40}, {}, {})
    record("job_a", rows(3), spec, version=version)
    assert drawn_height(app_client, "job_a") == inches(SEARCH, LEARNING, CLASSES, NOTE, NOTE)


def test_without_a_test_part_the_picture_has_none(app_client, record, register):
    spec = job_spec(evaluation=Evaluation(test_fraction=0.0))
    nothing = answers("regression", rows=0) | {"note": "No rows were held out for a test."}
    version = register(spec, nothing)
    record("job_a", rows(3), spec, version=version)
    assert drawn_height(app_client, "job_a") == inches(SEARCH, LEARNING, NOTE, NOTE)


def test_a_version_from_before_answers_were_kept_is_drawn(app_client, record, register):
    spec = job_spec()
    record("job_a", rows(3), spec, version=register(spec, None, {"loss": 1.0}, {"loss": 2.0}))
    assert drawn_height(app_client, "job_a") == inches(SEARCH, LEARNING, NOTE, NOTE)


@pytest.mark.parametrize("field", ["metrics", "evidence", "layers"])
def test_a_version_that_cannot_be_read_leaves_the_rest(
    app_client, record, register, database, field
):
    spec = job_spec()
    version = register(spec, answers("regression"), {"loss": 1.0}, {"loss": 2.0})
    record("job_a", rows(12), spec, version=version)
    record("job_b", rows(12))
    with database.write() as connection:
        details = connection.execute(select(versions.c.details)).scalar_one()
        connection.execute(update(versions).values(details=details | {field: "?"}))
    assert drawn_height(app_client, "job_a") == inches(SEARCH, LEARNING, NOTE, NOTE)
    compared = app_client.get("/compare?jobs=job_a,job_b").json["items"]
    assert (compared[0]["version"], compared[0]["best_score"]) == (1, 1 / 12)


@pytest.mark.parametrize(
    "change",
    [
        {"probabilities": [[0.5, 0.5]]},
        {"probabilities": None},
        {"probabilities": [["a", "b"]] * 40},
        {"truth": ["maybe"] * 40},
        {"truth": 40},
        {"classes": ["no", {}]},
        {"task": "ranking"},
        {"note": 7},
    ],
)
def test_answers_that_cannot_be_read_leave_the_rest(app_client, record, register, change):
    spec = classification(Task.BINARY)
    given = answers("binary", ["no", "yes"]) | change
    record("job_a", rows(3), spec, version=register(spec, given, {}, {}))
    assert drawn_height(app_client, "job_a") == inches(SEARCH, LEARNING, NOTE, NOTE, NOTE)


@pytest.mark.parametrize("state", ["queued", "running", "paused", "cancelling"])
def test_a_job_under_way_is_drawn_as_far_as_it_is_known(app_client, record, state):
    known = [*rows(4), trial_row(5, None, state="running", finished=None, failure_kind=None)]
    record("job_a", [] if state == "queued" else known, state=state, finished=None)
    search = [NOTE] * 3 if state == "queued" else [SEARCH, LEARNING]
    assert drawn_height(app_client, "job_a") == inches(*search, NOTE, NOTE)


def test_a_job_of_one_trial_is_drawn(app_client, record):
    record("job_a", rows(1))
    assert drawn_height(app_client, "job_a") == inches(PROGRESS, NOTE, LEARNING, NOTE, NOTE)


def test_a_job_without_a_score_is_drawn(app_client, record):
    failed = [trial_row(n, None) for n in range(1, 4)]
    record("job_a", failed, state="failed", error="No trial has a score <b>", stop_reason="x")
    assert drawn_height(app_client, "job_a") == inches(*[NOTE] * 5)


def test_two_hundred_trials_with_outliers_conditions_and_layers_are_drawn(app_client, record):
    generator = np.random.default_rng(0)
    many = []
    for number in range(1, 257):
        layers = int(generator.integers(1, 6))
        values = {
            "num_layers": layers,
            **{
                name: [float(generator.random()) for _ in range(layers)]
                for name in ("units", "dropout", "activation")
            },
        }
        if number % 2:
            values["momentum"] = 0.5
        score = 1e30 if number == 9 else float(generator.exponential(5.0))
        many.append(trial_row(number, score, values))
    record("job_a", many)
    assert drawn_height(app_client, "job_a") == inches(SEARCH, LEARNING, NOTE, NOTE)


def test_odd_scores_and_histories_are_drawn(app_client, record):
    odd = {"loss": [None, 1.0, 1e9], "val_loss": [None, 2.0, None]}
    record("job_a", [trial_row(n, -1.0, history=odd) for n in range(1, 4)])
    read_picture(app_client, "job_a")
    none = {"loss": [None], "val_loss": [None]}
    record("job_b", [trial_row(1, 0.0, history=none), trial_row(2, 0.0, history={})])
    read_picture(app_client, "job_b")


def test_scores_of_training_rows_are_drawn_without_validation(app_client, record):
    record("job_a", rows(3), job_spec(evaluation=Evaluation(method="train", test_fraction=0.0)))
    read_picture(app_client, "job_a")


@pytest.mark.parametrize("target", ["price in $", "$\\frac{1$ and $x$", "体重 (kg)\nnet", "🐧"])
def test_any_name_of_a_target_is_drawn(app_client, record, register, target):
    spec = job_spec(target=target)
    version = register(spec, answers("regression", target=target), {"loss": 1.0}, {"loss": 2.0})
    record("job_a", rows(3), spec, version=version)
    read_picture(app_client, "job_a")


def test_pictures_are_drawn_in_many_threads_at_once(app_client, record):
    record("job_a", rows(12))
    wanted = ["/tune/job_a/report?format=png"] * 4 + ["/compare?jobs=job_a,job_b&format=png"] * 4
    record("job_b", rows(12))

    def fetch(path):
        return app_client.application.test_client().get(path)

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(fetch, wanted))
    assert {answer.status_code for answer in found} == {200}
    assert len({decode(answer.data).shape for answer in found}) == 2
    assert len({answer.data for answer in found[4:]}) == 1


def test_a_report_is_a_page_of_the_dashboard_unless_a_picture_is_asked_for(app_client, record):
    record("job_a", rows(1))
    for asked in ("*/*", "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"):
        page = app_client.get("/tune/job_a/report", headers={"Accept": asked})
        assert (page.status_code, page.location) == (302, "/#/jobs/job_a/report")
    picture = app_client.get("/tune/job_a/report", headers={"Accept": "image/png"})
    assert picture.content_type == "image/png"
    both = app_client.get("/tune/job_a/report?format=html", headers={"Accept": "image/png"})
    assert both.status_code == 302
    assert app_client.get("/tune/job_a/report?format=pdf").status_code == 422
    for form in ("html", "png"):
        assert app_client.get(f"/tune/job_x/report?format={form}").status_code == 404


def test_a_front_is_drawn_above_the_rest(app_client, record):
    aims = {
        "other_objectives": (Objective("parameters", "min"), Objective("mae", "min")),
        "constraints": (Constraint("parameters", max=300),),
    }
    rows = []
    for number in range(1, 8):
        scores = {"loss": 8.0 - number, "parameters": 50.0 * number, "mae": 1.0}
        row = trial_row(number, scores["loss"], scores=scores, violation=0.0)
        if number == 7:
            row["violation"] = 1 / 6
            row["result"]["violations"] = {"parameters": 1 / 6}
        rows.append(row)
    record("job_front", rows, job_spec(**aims))
    record("job_plain", rows, job_spec())
    assert drawn_height(app_client, "job_front") > drawn_height(app_client, "job_plain") + 3
