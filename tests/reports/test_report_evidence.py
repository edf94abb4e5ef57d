"""What a report says of a version: intervals, simpler models, and its columns."""

from typing import Any

import pytest

from models.data.preparation.tasks import Task
from tests.reports.pages import (
    answers,
    classification,
    read_page,
    read_picture,
    rows,
)
from tests.reports.recorded import job_spec


def scored(model, score, note=None):
    """What the evidence says of a model beside the version."""
    if score is None:
        return {"model": model, "metrics": None, "intervals": None, "rows": 0, "note": note}
    intervals = {"loss": [score - 0.5, score + 0.5]}
    return {"model": model, "metrics": {"loss": score}, "intervals": intervals, "note": None}


def evidence_of_columns(kind="number", **curves):
    known: dict[str, list[Any]] = {
        "number": [1.5, 2.5, 8.0],
        "datetime": ["2024-01-01T00:00:00Z", "2024-06-01T00:00:00Z", "2025-01-01T00:00:00Z"],
        "boolean": [False, True],
        "category": ["$x$", "企鹅", "a very long name of a value"],
    }
    values = known[kind]
    items = [
        {"column": f"column {number} $", "importance": 2.0 - number, "interval": [1.5 - number, 3]}
        for number in range(20)
    ]
    items[1]["interval"] = None
    panel = {"column": "column 0 $", "type": kind, "values": values, "rows": 40} | {
        name: found[: len(values)] if name == "predictions" else found
        for name, found in curves.items()
    }
    return {
        "column_importance": {"metric": "loss", "rows": 40, "note": None, "items": items},
        "partial_dependence": [panel, panel | {"column": "b"}],
    }


def test_a_version_is_shown_with_intervals_beside_simpler_models(app_client, record, register):
    spec = job_spec()
    conclusion = "A gradient-boosted tree is better on the test rows: RMSE 1 against 2."
    evidence = {
        "validation": {"metrics": {"loss": 1.0}},
        "test": {"rows": 40, "intervals": {"loss": [1.0, 1.625]}, "note": "Only 12 rows <few>."},
        "baseline": {"predicts": "mean", "intervals": {"loss": [4.0, 5.0]}},
        "baselines": {
            "linear": scored("Ridge(alpha=1)", 2.5),
            "trees": scored("HistGradientBoosting", None, "It could not be trained: <b>"),
        },
        "better_than_trees": False,
        "conclusion": conclusion,
        "optimism": {
            "metric": "loss",
            "search": 1.0,
            "test": 1.25,
            "interval": [1.0, 1.625],
            "gap": 0.25,
        },
        **evidence_of_columns(predictions=[1.0, 2.0, 5.0]),
    }
    version = register(spec, answers("regression"), {"loss": 1.25}, {"loss": 4.5}, evidence)
    record("job_a", rows(12), spec, version=version)
    page = read_page(app_client, "job_a")
    assert list(page.images)[-3:] == ["predicted", "column_importance", "partial_dependence"]
    for fact in (
        "1 to 1.625",
        "4 to 5",
        "2 to 3",
        "Trees: It could not be trained: <b>",
        conclusion,
        "Optimism: the winner’s loss was 1 in the search and is 1.25 on the test rows",
        "(95 % interval 1 to 1.625): worse",
        "Only 12 rows <few>.",
    ):
        assert fact in page.words, fact
    assert read_picture(app_client, "job_a").shape[0] == pytest.approx(
        (4.8 + 5.5 + 6 + 4.8 + 4.2 + 0.6) * 120, abs=1
    )


@pytest.mark.parametrize("kind", ["datetime", "boolean", "category"])
@pytest.mark.parametrize("count", [1, 9])
def test_columns_of_any_type_are_drawn(app_client, record, register, kind, count):
    spec = classification(Task.MULTICLASS)
    values = 2 if kind == "boolean" else 3
    curves = [[0.5 / (1 + n)] * (values - 1) + [0.1] for n in range(count)]
    classes = [f"class {n} $" for n in range(count)]
    evidence = evidence_of_columns(kind, classes=classes, probabilities=curves)
    given = answers("multiclass", ["a", "b", "c"])
    version = register(spec, given, {"loss": 1.0}, {"loss": 2.0}, evidence)
    record("job_a", rows(3), spec, version=version)
    assert {"column_importance", "partial_dependence"} <= set(read_page(app_client, "job_a").images)


def test_a_version_without_important_columns_says_why(app_client, record, register):
    spec = job_spec()
    nothing = {"metric": "loss", "rows": 0, "note": "Images have no columns.", "items": []}
    evidence = {"column_importance": nothing, "partial_dependence": []}
    version = register(spec, answers("regression"), {"loss": 1.0}, {"loss": 2.0}, evidence)
    record("job_a", rows(3), spec, version=version)
    page = read_page(app_client, "job_a")
    assert "column_importance" not in page.images
    assert page.words.count("Images have no columns.") == 2


def reliability(ece=0.1, bins=3):
    """What the evidence says of probabilities on the test rows."""
    found = [
        {"probability": (n + 1) / bins, "share": n / bins, "rows": 10 + n} for n in range(bins)
    ]
    return {"rows": 40, "log_loss": 0.5, "brier": 0.2, "ece": ece, "bins": found}


@pytest.mark.parametrize("temperature", [None, 1.5])
@pytest.mark.parametrize("task", [Task.BINARY, Task.MULTICLASS])
def test_the_reliability_of_probabilities_is_drawn(app_client, record, register, task, temperature):
    spec = classification(task)
    classes = [False, True] if task is Task.BINARY else ["a", "b", "$c"]
    found = {
        "rows": 100,
        "note": None,
        "temperature": temperature,
        "test": reliability(),
        "untempered": None if temperature is None else reliability(0.2, 1),
    }
    version = register(
        spec, answers(str(task), classes), {"loss": 1.0}, {"loss": 2.0}, {"calibration": found}
    )
    record("job_a", rows(3), spec, version=version)
    assert "reliability" in read_page(app_client, "job_a").images
    read_picture(app_client, "job_a")


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (None, "The version was saved without it."),
        ({"rows": 0, "test": None}, "There are no answers for test rows."),
    ],
)
def test_a_version_without_probabilities_of_test_rows_says_why(
    app_client, record, register, found, text
):
    spec = classification(Task.BINARY)
    evidence = {"calibration": found}
    version = register(spec, answers("binary", ["a", "b"]), {"loss": 1.0}, {"loss": 2.0}, evidence)
    record("job_a", rows(3), spec, version=version)
    page = read_page(app_client, "job_a")
    assert "reliability" not in page.images
    assert text in page.words


def test_the_confusion_matrix_follows_the_threshold(app_client, record, register):
    spec = classification(Task.BINARY)
    given = answers("binary", ["a", "b"]) | {"threshold": 0.2, "positive": 0}
    version = register(spec, given, {"loss": 1.0}, {"loss": 2.0})
    record("job_a", rows(3), spec, version=version)
    assert "confusion" in read_page(app_client, "job_a").images
