"""The figures of a version in a report: its columns, and the reliability of its probabilities."""

from typing import Any

import pytest

from models.data.preparation.tasks import Task
from tests.reports.pictures import (
    CLASSES,
    COLUMNS,
    DEPENDENCE,
    DPI,
    LEARNING,
    NOTE,
    PREDICTED,
    SEARCH,
    answers,
    classification,
    drawn_height,
    inches,
    read_picture,
    rows,
)
from tests.reports.recorded import job_spec


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


def test_columns_of_a_regression_are_drawn(app_client, record, register):
    spec, given = job_spec(), answers("regression")
    evidence = evidence_of_columns(predictions=[1.0, 2.0, 5.0])
    version = register(spec, given, {"loss": 1.25}, {"loss": 4.5}, evidence)
    record("job_a", rows(3), spec, version=version)
    assert drawn_height(app_client, "job_a") == inches(SEARCH, PREDICTED, COLUMNS, DEPENDENCE)


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
    found = drawn_height(app_client, "job_a")
    assert found == inches(SEARCH, LEARNING, CLASSES, COLUMNS, DEPENDENCE)


def test_a_version_without_important_columns_has_no_figures_of_them(app_client, record, register):
    spec, given = job_spec(), answers("regression")
    nothing = {"metric": "loss", "rows": 0, "note": "Images have no columns.", "items": []}
    evidence = {"column_importance": nothing, "partial_dependence": []}
    version = register(spec, given, {"loss": 1.0}, {"loss": 2.0}, evidence)
    record("job_a", rows(3), spec, version=version)
    assert drawn_height(app_client, "job_a") == inches(SEARCH, PREDICTED, NOTE, NOTE)


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
    assert drawn_height(app_client, "job_a") == inches(SEARCH, CLASSES, CLASSES, NOTE, NOTE)


@pytest.mark.parametrize("found", [None, {"rows": 0, "test": None}])
def test_probabilities_without_test_rows_have_no_figure(app_client, record, register, found):
    spec, given = classification(Task.BINARY), answers("binary", ["a", "b"])
    version = register(spec, given, {"loss": 1.0}, {"loss": 2.0}, {"calibration": found})
    record("job_a", rows(3), spec, version=version)
    assert drawn_height(app_client, "job_a") == inches(SEARCH, LEARNING, CLASSES, NOTE, NOTE)


def test_the_confusion_matrix_follows_the_threshold(app_client, record, register):
    given = answers("binary", ["a", "b"])
    pictures = []
    for model, change in (("one", {}), ("two", {"threshold": 0.01, "positive": 0})):
        spec = classification(Task.BINARY, model=model)
        version = register(spec, given | change, {"loss": 1.0}, {"loss": 2.0})
        record(f"job_{model}", rows(3), spec, version=version)
        pictures.append(read_picture(app_client, f"job_{model}"))
    assert pictures[0].shape == pictures[1].shape
    # The headings name different models.
    below = [picture[DPI:] for picture in pictures]
    assert (below[0] != below[1]).any()
