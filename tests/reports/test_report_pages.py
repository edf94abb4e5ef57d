import re
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from sqlalchemy import select, update

from models.data.preparation.splitting import Evaluation
from models.data.preparation.tasks import Task
from models.store.tables import versions
from models.trials.spec import Constraint, Objective
from tests.reports.pages import (
    SEARCH,
    Page,
    answers,
    classification,
    decode,
    read_page,
    read_picture,
    rows,
)
from tests.reports.recorded import job_spec, trial_row


def test_a_page_needs_no_other_host_and_no_script(app_client, record, register):
    spec = job_spec(target="see http://example.com/x <script>alert(1)</script>")
    version = register(spec, answers("regression"), {"loss": 1.0}, {"loss": 2.0})
    record("job_a", rows(12), spec, version=version)
    answer = app_client.get("/tune/job_a/report")
    page = Page(answer.text)
    assert not {"script", "link", "iframe", "object", "base", "meta-refresh"} & set(page.tags)
    links = [value for name, value in page.attributes if name in ("src", "href", "action")]
    assert links
    assert all(link.startswith("data:image/png;base64,") for link in links)
    assert not any(name.startswith("on") for name, _ in page.attributes)
    [style] = re.findall(r"<style>(.*?)</style>", answer.text, re.S)
    assert "url(" not in style
    assert "@import" not in style
    policy = answer.headers["Content-Security-Policy"]
    assert policy == (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; frame-ancestors 'none'"
    )
    assert "<script>alert(1)" in page.words


def test_a_page_shows_what_a_job_warns_of_and_which_columns_it_uses(app_client, record):
    notes = {
        "warnings": [
            {
                "code": "leak",
                "message": "'net' <b>alone</b> predicts.",
                "column": "net",
                "rows": None,
            }
        ],
        "columns": {"used": ["age", "net"], "ignored": {"id": "It is evaluation.group."}},
    }
    record("job_a", rows(3), data_notes=notes)
    words = read_page(app_client, "job_a").words
    assert "'net' <b>alone</b> predicts." in words
    assert "2 columns are used: age, net." in words
    assert "It is evaluation.group." in words
    record("job_b", rows(3))
    assert "Column not used" not in read_page(app_client, "job_b").words


def test_nothing_but_what_users_wrote_could_name_another_host(app_client, record):
    record("job_a", rows(12))
    text = app_client.get("/tune/job_a/report").text
    assert text.count("data:image/png;base64,") == 4
    around = re.sub(r'"data:image/png;base64,[A-Za-z0-9+/=]+"', "", text)
    assert "base64" not in around
    assert not re.search(r"https?:|//", around)


def test_a_regression_is_reported_in_full(app_client, record, register):
    spec = job_spec()
    metrics = {"loss": 1.25, "mse": 1.25, "r2": 0.875}
    version = register(spec, answers("regression"), metrics, {"loss": 4.5, "mse": 4.5})
    record("job_a", [*rows(12), trial_row(13, None)], spec, version=version)
    page = read_page(app_client, "job_a")
    assert list(page.images) == [*SEARCH, "predicted"]
    for fact in (
        "sugar",
        "job_a",
        "succeeded (max_trials)",
        "builtin:diabetes (ds_1)",
        "13 of 13 planned, 12 completed, 1 failed",
        "1 min 30 s",
        "1 trial failed: diverged.",
        "Trial 12",
        "0.08333",  # its score
        "0.008333",  # its learning rate
        "1.25",
        "4.5",
        "0.875",
        "rows × 8",
        "40 rows",
        "Best 10 of 12 trials",
    ):
        assert fact in page.words, fact
    heights = [image.shape[0] for image in page.images.values()]
    widths = [image.shape[1] for image in page.images.values()]
    assert (widths, heights) == ([900, 900, 1500, 900, 780], [576, 576, 660, 600, 720])
    assert read_picture(app_client, "job_a").shape[0] == pytest.approx(
        (4.8 + 5.5 + 6 + 2 * 1.1 + 0.6) * 120, abs=1
    )


@pytest.mark.parametrize(
    ("task", "classes"),
    [(Task.BINARY, [False, True]), (Task.MULTICLASS, ["Adelie", "企鹅 $x^$", "Gentoo"])],
)
def test_a_classification_shows_confusion_and_roc(app_client, record, register, task, classes):
    spec = classification(task)
    metrics = {"loss": 0.5, "accuracy": 0.75}
    version = register(spec, answers(str(task), classes), metrics, metrics)
    record("job_a", rows(12), spec, version=version)
    assert list(read_page(app_client, "job_a").images) == [*SEARCH, "confusion", "roc"]
    assert read_picture(app_client, "job_a").shape[0] == pytest.approx(
        (4.8 + 5.5 + 5 + 6.5 + 2 * 1.1 + 0.6) * 120, abs=1
    )


def test_many_classes_are_drawn(app_client, record, register):
    spec = classification(Task.MULTICLASS)
    version = register(spec, answers("multiclass", list(range(40)), rows=200), {}, {})
    record("job_a", rows(3), spec, version=version)
    assert "roc" in read_page(app_client, "job_a").images


def test_test_rows_of_one_class_have_no_roc(app_client, record, register):
    spec = classification(Task.BINARY)
    given = answers("binary", ["no", "yes"])
    version = register(spec, given | {"truth": ["no"] * 40}, {}, {})
    record("job_a", rows(3), spec, version=version)
    page = read_page(app_client, "job_a")
    assert "confusion" in page.images
    assert "roc" not in page.images
    assert "The test rows hold one class only." in page.words
    read_picture(app_client, "job_a")


def test_without_a_test_part_the_report_says_so(app_client, record, register):
    spec = job_spec(evaluation=Evaluation(test_fraction=0.0))
    nothing = answers("regression", rows=0) | {"note": "No rows were held out for a test."}
    version = register(spec, nothing)
    record("job_a", rows(3), spec, version=version)
    page = read_page(app_client, "job_a")
    assert "predicted" not in page.images
    assert "No rows were held out for a test." in page.words
    read_picture(app_client, "job_a")


def test_a_version_from_before_answers_were_kept_is_reported(app_client, record, register):
    spec = job_spec()
    record("job_a", rows(3), spec, version=register(spec, None, {"loss": 1.0}, {"loss": 2.0}))
    words = read_page(app_client, "job_a").words
    assert "saved without its answers on test rows" in words
    assert "saved without the importance of its columns" in words


@pytest.mark.parametrize("field", ["metrics", "evidence", "layers"])
def test_a_version_that_cannot_be_read_is_told_and_the_rest_is_reported(
    app_client, record, register, database, field
):
    spec = job_spec()
    version = register(spec, answers("regression"), {"loss": 1.0}, {"loss": 2.0})
    record("job_a", rows(12), spec, version=version)
    record("job_b", rows(12))
    with database.write() as connection:
        details = connection.execute(select(versions.c.details)).scalar_one()
        connection.execute(update(versions).values(details=details | {field: "?"}))
    page = read_page(app_client, "job_a")
    assert list(page.images) == SEARCH
    assert f"cannot read version 1 of model 'sugar': {field}" in page.words
    read_picture(app_client, "job_a")
    compared = app_client.get("/compare?jobs=job_a,job_b").json["items"]
    assert (compared[0]["version"], compared[0]["best_score"]) == (1, 1 / 12)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"probabilities": [[0.5, 0.5]]}, "probabilities"),
        ({"probabilities": None}, "probabilities"),
        ({"probabilities": [["a", "b"]] * 40}, "probabilities"),
        ({"truth": ["maybe"] * 40}, "truth"),
        ({"truth": 40}, "truth"),
        ({"classes": ["no", {}]}, "probabilities"),
        ({"task": "ranking"}, "task"),
        ({"note": 7}, "note"),
    ],
)
def test_answers_that_cannot_be_read_are_told_and_the_rest_is_reported(
    app_client, record, register, change, field
):
    spec = classification(Task.BINARY)
    given = answers("binary", ["no", "yes"]) | change
    record("job_a", rows(3), spec, version=register(spec, given, {}, {}))
    page = read_page(app_client, "job_a")
    assert list(page.images) == ["best_so_far", "parallel_coordinates", "learning_curves"]
    assert f"cannot read held_out.json of version 1 of model 'sugar': {field}" in page.words
    read_picture(app_client, "job_a")


@pytest.mark.parametrize("state", ["queued", "running", "paused", "cancelling"])
def test_a_job_under_way_is_reported_as_far_as_it_is_known(app_client, record, state):
    known = [*rows(4), trial_row(5, None, state="running", finished=None, failure_kind=None)]
    record("job_a", [] if state == "queued" else known, state=state, finished=None)
    page = read_page(app_client, "job_a")
    assert "The job has not ended" in page.words
    assert "No version is registered yet." in page.words
    assert ("best_so_far" in page.images) == (state != "queued")
    assert "failed:" not in page.words
    read_picture(app_client, "job_a")


def test_a_failed_job_is_reported_with_its_error(app_client, record):
    failed = [trial_row(n, None) for n in range(1, 4)]
    record("job_a", failed, state="failed", error="No trial has a score <b>", stop_reason="x")
    page = read_page(app_client, "job_a")
    assert page.images == {}
    assert "No trial has a score <b>" in page.words
    assert "3 trials failed: diverged." in page.words
    assert "The job failed without registering a version." in page.words
    read_picture(app_client, "job_a")


def test_a_job_of_one_trial_is_reported(app_client, record):
    record("job_a", rows(1))
    page = read_page(app_client, "job_a")
    assert list(page.images) == ["best_so_far", "learning_curves"]
    assert "All trials had the same values." in page.words
    assert "Importance needs 10" in page.words
    read_picture(app_client, "job_a")


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
    assert list(read_page(app_client, "job_a").images) == SEARCH
    read_picture(app_client, "job_a")


def test_odd_scores_and_histories_are_drawn(app_client, record):
    odd = {"loss": [None, 1.0, 1e9], "val_loss": [None, 2.0, None]}
    record("job_a", [trial_row(n, -1.0, history=odd) for n in range(1, 4)])
    assert "learning_curves" in read_page(app_client, "job_a").images
    none = {"loss": [None], "val_loss": [None]}
    record("job_b", [trial_row(1, 0.0, history=none), trial_row(2, 0.0, history={})])
    read_picture(app_client, "job_b")


def test_scores_of_training_rows_are_drawn_without_validation(app_client, record):
    record("job_a", rows(3), job_spec(evaluation=Evaluation(method="train", test_fraction=0.0)))
    assert "training mean squared error" in read_page(app_client, "job_a").words


def test_weights_of_rows_are_told(app_client, record):
    weights = {"class_weight": (("often", 1.0), ("rare", 7.25)), "sample_weight": "visits"}
    record("job_a", rows(1), classification(Task.BINARY, **weights))
    record("job_b", rows(1), classification(Task.BINARY, class_weight="balanced"))
    record("job_c", rows(1), classification(Task.BINARY))
    own, balanced, none = (read_page(app_client, f"job_{name}").words for name in "abc")
    assert "often 1, rare 7.25" in own
    assert "visits" in own
    assert "balanced" in balanced
    assert "Class weights" not in none


@pytest.mark.parametrize("target", ["price in $", "$\\frac{1$ and $x$", "体重 (kg)\nnet", "🐧"])
def test_any_name_of_a_target_is_drawn(app_client, record, register, target):
    spec = job_spec(target=target)
    version = register(spec, answers("regression", target=target), {"loss": 1.0}, {"loss": 2.0})
    record("job_a", rows(3), spec, version=version)
    read_picture(app_client, "job_a")


def test_reports_are_drawn_in_many_threads_at_once(app_client, record):
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


def test_the_form_is_chosen_by_query_or_accept(app_client, record):
    record("job_a", rows(1))
    asked = app_client.get("/tune/job_a/report", headers={"Accept": "image/png"})
    assert asked.content_type == "image/png"
    both = app_client.get("/tune/job_a/report?format=html", headers={"Accept": "image/png"})
    assert both.content_type.startswith("text/html")
    assert app_client.get("/tune/job_a/report?format=pdf").status_code == 422
    assert app_client.get("/tune/job_x/report").status_code == 404


def test_a_front_is_drawn_and_broken_constraints_are_told(app_client, record):
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
    job = record("job_front", rows, job_spec(**aims))
    page = app_client.get(f"/tune/{job}/report").text
    assert "Trial 6:" in page
    assert "(breaks the constraint on parameters)" in page
    assert "parameters &lt;= 300" in page
    assert "parameters (min), mae (min)" in page
    assert "the front is joined by a line" in page
    picture = app_client.get(f"/tune/{job}/report", headers={"Accept": "image/png"})
    assert picture.content_type == "image/png"
