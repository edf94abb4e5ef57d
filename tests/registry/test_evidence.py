"""What the evidence says of answers: baselines, the comparison with trees, and columns."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from models.data.dataset import Dataset
from models.data.formats.reading import from_arrays
from models.data.preparation.splitting import Evaluation
from models.data.preparation.tasks import infer_task
from models.registry.documents import EvidenceSchema
from models.registry.evidence import baselines, columns
from models.registry.evidence.baselines import train_baselines
from models.registry.evidence.held_out import Answers, HeldOut, measure_held_out
from models.trials.data import LoadedData, PreparedFold, divide, prepare_fold
from models.trials.spec import DataRef, TrialSpec, resolve_objective
from tests.files import from_records

Measure = Callable[..., HeldOut]


def table(types: dict[str, str] | None = None, **columns: Any) -> Dataset:
    """A dataset of these columns, as an upload reads them."""
    lists = [np.asarray(cells, dtype=object).tolist() for cells in columns.values()]
    rows = [dict(zip(columns, cells, strict=True)) for cells in zip(*lists, strict=True)]
    return from_records(rows, types)


def loaded(
    dataset: Dataset, target: str = "y", **changes: Any
) -> tuple[DataRef, LoadedData, PreparedFold]:
    """The rows of a job on `dataset`, whose first fold is prepared."""
    evaluation = Evaluation(**{"test_fraction": 0.3, **changes.pop("evaluation", {})})
    task = infer_task(dataset, target)
    ref = DataRef("none", "ds_1", target, task, evaluation, seed=5, **changes)
    data = divide(dataset, ref)
    return ref, data, prepare_fold(data, ref, data.split.folds[0].train)


def measured(
    dataset: Dataset, answers: Answers, metric: str = "val_loss", **changes: Any
) -> HeldOut:
    """What the evidence says of `answers` on the test rows."""
    ref, data, fold = loaded(dataset, **changes)
    objective = resolve_objective(ref.task, metric)
    trial = TrialSpec("job_1", 1, "mlp", {}, ref, objective, epochs=1, seed=0, weights="none")
    learned = data.dataset, data.split.folds[0].train
    found = measure_held_out(trial, data, fold, learned, answers)
    json.dumps(found.evidence, allow_nan=False)
    whole = found.evidence | {"validation": {"metrics": None}}
    assert EvidenceSchema().validate(whole) == {}
    return found


@pytest.fixture(scope="module")
def steps() -> Dataset:
    """A target of steps, which trees can follow and lines cannot; `noise` says nothing of it."""
    generator = np.random.default_rng(0)
    rows = 600
    x, z, noise = generator.uniform(0, 4, (3, rows))
    town = np.array(["Rome", "Oslo", "Bern"], dtype=object)[generator.integers(3, size=rows)]
    y = 10 * (np.floor(x) % 2) + 2 * (town == "Rome") + z + generator.normal(0, 0.3, rows)
    return table(x=x, z=z, noise=noise, town=town, y=y)


def oracle(dataset: Dataset, rows: Any) -> np.ndarray:
    """The answers of a version that knows how `steps` was made."""
    cells = {name: dataset.values[name][rows] for name in ("x", "z", "town")}
    found = 10 * (np.floor(cells["x"]) % 2) + 2 * (cells["town"] == "Rome") + cells["z"]
    return np.asarray(found, dtype=np.float64)[:, None]


def constant(dataset: Dataset, rows: Any) -> np.ndarray:
    return np.full((len(rows), 1), 7.0)


def test_a_version_that_knows_more_is_better_than_trees(steps: Dataset) -> None:
    evidence = measured(steps, oracle).evidence
    assert evidence["better_than_trees"] is True
    found = evidence["difference_from_trees"]
    assert found["metric"] == "rmse"
    assert 0 < found["interval"][0] < found["difference"] < found["interval"][1]
    assert evidence["conclusion"].startswith("This version is better than gradient-boosted trees")
    assert evidence["baselines"]["trees"]["metrics"]["rmse"] == found["trees"]


def test_a_version_that_knows_nothing_is_worse_than_trees(steps: Dataset) -> None:
    held_out = measured(steps, constant)
    evidence = held_out.evidence
    assert evidence["better_than_trees"] is False
    low, high = evidence["difference_from_trees"]["interval"]
    assert low < high < 0
    assert evidence["conclusion"].startswith(
        "A gradient-boosted tree is better on the test rows: RMSE "
    )
    assert "95 % interval of the difference" in evidence["conclusion"]
    linear, trees = (evidence["baselines"][name] for name in ("linear", "trees"))
    assert trees["metrics"]["r2"] > 0.9 > linear["metrics"]["r2"] > -0.1
    assert linear["model"].startswith("Ridge(alpha=")
    assert {linear["rows"], trees["rows"]} == {300}
    for each in (linear, trees, evidence["baseline"], evidence["test"]):
        low, high = each["intervals"]["mae"]
        assert low < each["metrics"]["mae"] < high
    assert evidence["test"]["units"] == held_out.rows == 180
    assert held_out.metrics == evidence["test"]["metrics"]


def test_the_answers_of_the_trees_themselves_decide_nothing(steps: Dataset) -> None:
    ref, data, _ = loaded(steps)
    learned = data.dataset, data.split.folds[0].train
    trees = train_baselines(data, ref, learned, data.test_part())[1].answers
    assert trees is not None
    by_row = np.zeros((steps.rows, 1))
    by_row[data.split.test] = trees

    def repeat(dataset: Dataset, rows: Any) -> np.ndarray:
        return by_row[rows] if dataset.rows == steps.rows else constant(dataset, rows)

    evidence = measured(steps, repeat).evidence
    assert evidence["better_than_trees"] == "undecided"
    assert evidence["difference_from_trees"]["interval"] == [0, 0]
    assert evidence["conclusion"].startswith("The test rows do not tell")


def test_a_column_that_decides_matters_most_and_noise_not_at_all(steps: Dataset) -> None:
    evidence = measured(steps, oracle).evidence
    found = evidence["column_importance"]
    assert (found["metric"], found["rows"], found["columns"]) == ("rmse", 180, 4)
    assert [item["column"] for item in found["items"]] == ["x", "z", "town", "noise"]
    *deciding, noise = found["items"]
    assert noise == {"column": "noise", "importance": 0, "interval": [0, 0]}
    for item in deciding:
        assert 0 < item["interval"][0] < item["importance"] < item["interval"][1]
    panels = {panel["column"]: panel for panel in evidence["partial_dependence"]}
    assert list(panels) == ["x", "z", "town"]
    slope = np.diff(panels["z"]["predictions"]) / np.diff(panels["z"]["values"])
    np.testing.assert_allclose(slope, 1, rtol=1e-3)
    towns = dict(zip(panels["town"]["values"], panels["town"]["predictions"], strict=True))
    assert towns["Rome"] - towns["Oslo"] == pytest.approx(2)


def test_of_many_columns_those_that_go_with_the_answers_are_shuffled() -> None:
    generator = np.random.default_rng(1)
    x = generator.normal(size=(200, 70))
    dataset = from_arrays(x, x[:, 66] + 0.1 * generator.normal(size=200))
    _, data, _ = loaded(dataset)
    deciding = data.features[66]

    def answers(dataset: Dataset, rows: Any) -> np.ndarray:
        return dataset.values[deciding][rows][:, None]

    found = measured(dataset, answers).evidence["column_importance"]
    assert len(found["items"]) == 50
    assert found["items"][0]["column"] == deciding
    assert found["note"].startswith("50 of 70 columns were shuffled")


def test_slow_answers_are_asked_for_fewer_rows(
    steps: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(columns, "MAX_SECONDS", 0.0)
    found = measured(steps, oracle).evidence["column_importance"]
    assert found["rows"] == columns.MIN_ROWS
    assert found["items"][0]["column"] == "x"


def test_many_classes_have_no_trees() -> None:
    numbers = np.arange(300) % 25
    dataset = table(x=numbers + 0.5, y=[f"class {number}" for number in numbers])

    def guess(dataset: Dataset, rows: Any) -> np.ndarray:
        return np.full((len(rows), 25), 1 / 25)

    evidence = measured(dataset, guess).evidence
    assert evidence["better_than_trees"] is None
    assert evidence["conclusion"].endswith("25 classes would need 2,500 trees.")
    assert evidence["baselines"]["linear"]["metrics"]["accuracy"] > 1 / 25
    assert len(evidence["partial_dependence"][0]["classes"]) == 10


def test_classes_are_compared_and_their_probabilities_drawn() -> None:
    generator = np.random.default_rng(2)
    x = generator.uniform(-1, 1, (400, 2))
    label = np.array(["high", "low"], dtype=object)[(x[:, 0] * x[:, 1] < 0).astype(int)]
    dataset = table(a=x[:, 0], b=x[:, 1], y=label)

    def guess(dataset: Dataset, rows: Any) -> np.ndarray:
        share = 0.5 + 0.4 * np.sign(dataset.values["a"][rows])
        return np.column_stack([share, 1 - share])

    evidence = measured(dataset, guess, "val_auc").evidence
    assert evidence["difference_from_trees"]["metric"] == "auc"
    assert evidence["better_than_trees"] is False
    trees, linear = (evidence["baselines"][name]["metrics"] for name in ("trees", "linear"))
    assert trees["auc"] > 0.9 > linear["auc"]
    panel = evidence["partial_dependence"][0]
    assert panel["classes"] == ["low"]
    assert all(0 <= share <= 1 for share in panel["probabilities"][0])


def test_an_objective_about_the_network_is_replaced_by_the_loss(steps: Dataset) -> None:
    evidence = measured(steps, oracle, "parameters").evidence
    assert evidence["difference_from_trees"]["metric"] == "rmse"


def test_weights_of_rows_teach_the_baselines_too() -> None:
    generator = np.random.default_rng(3)
    x, wrong = generator.normal(size=600), generator.random(600) < 0.6
    dataset = table(x=x, y=np.where(wrong, -x, x), w=np.where(wrong, 0.0, 1.0))

    def identity(dataset: Dataset, rows: Any) -> np.ndarray:
        return dataset.values["x"][rows][:, None]

    weighted = measured(dataset, identity, sample_weight="w", features=("x",))
    plain = measured(dataset, identity, features=("x",))
    for name in ("linear", "trees"):
        scores = [each.evidence["baselines"][name]["metrics"]["r2"] for each in (weighted, plain)]
        assert scores[0] < -0.5 < scores[1], name


def test_odd_columns_and_rare_classes_do_not_stop_a_baseline() -> None:
    rows = [
        {
            "id": f"v{number % 290}",
            "empty": None,
            "same": 1.0,
            "when": f"20{10 + number % 12}-01-1{number % 9}",
            "gap": None if number % 3 else float(number),
            "says": "good food and wine" if number % 2 else f"bad place {number}",
            "y": "rare" if number == 0 else "good" if number % 2 else "bad",
        }
        for number in range(600)
    ]
    types = {"id": "category", "says": "text"}
    dataset = from_records(rows, types)

    def guess(dataset: Dataset, rows: Any) -> np.ndarray:
        return np.full((len(rows), 3), 1 / 3)

    evidence = measured(dataset, guess, evaluation={"test_fraction": 0.2}).evidence
    for name in ("linear", "trees"):
        found = evidence["baselines"][name]
        assert found["note"] is None
        assert found["metrics"]["accuracy"] > 0.9, name
    assert evidence["better_than_trees"] is False


def test_many_rows_teach_trees_a_part_of_themselves(
    steps: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(baselines, "MAX_ROWS", 100)
    evidence = measured(steps, oracle).evidence
    assert evidence["baselines"]["trees"]["rows"] == 100
    assert evidence["conclusion"].endswith(" The trees learned from 100 of its 300 training rows.")


def test_a_baseline_that_fails_is_null_with_a_note(steps: Dataset) -> None:
    ref, data, _ = loaded(steps)
    nobody = data.dataset, data.split.test[:0]
    for found in train_baselines(data, ref, nobody, data.test_part()):
        assert found.answers is None
        assert found.note is not None
        assert found.note.startswith("It could not be trained: ")


def test_images_have_no_baselines_and_no_columns_to_shuffle() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (60, 4, 4))
    dataset = from_arrays(pixels, np.arange(60) % 3)

    def guess(dataset: Dataset, rows: Any) -> np.ndarray:
        return np.full((len(rows), 3), 1 / 3)

    evidence = measured(dataset, guess).evidence
    assert evidence["better_than_trees"] is None
    assert evidence["conclusion"].endswith("No baseline is trained on images.")
    assert {each["metrics"] for each in evidence["baselines"].values()} == {None}
    assert evidence["column_importance"]["items"] == evidence["partial_dependence"] == []
    assert evidence["test"]["intervals"]["accuracy"] is not None


def test_answers_that_are_not_finite_are_told_and_stop_nothing(steps: Dataset) -> None:
    def lost(dataset: Dataset, rows: Any) -> np.ndarray:
        return np.full((len(rows), 1), np.nan)

    evidence = measured(steps, lost).evidence
    assert set(evidence["test"]["metrics"].values()) == {None}
    assert evidence["better_than_trees"] is None
    assert evidence["baselines"]["trees"]["metrics"]["r2"] > 0.9


def test_errors_that_are_too_large_for_a_number_are_null() -> None:
    generator = np.random.default_rng(7)
    x = generator.normal(size=100)

    def far(dataset: Dataset, rows: Any) -> np.ndarray:
        return np.full((len(rows), 1), -1e200)

    evidence = measured(table(x=x, y=1e200 * x), far).evidence
    assert evidence["test"]["metrics"]["mse"] is None
    assert evidence["test"]["metrics"]["mae"] > 1e199
    assert evidence["test"]["intervals"]["mse"] is None
    assert evidence["better_than_trees"] is None


def test_groups_of_the_evaluation_are_drawn_whole() -> None:
    generator = np.random.default_rng(6)
    x = generator.normal(size=400)
    dataset = table(who=[f"p{number // 10}" for number in range(400)], x=x, y=2 * x)

    def double(dataset: Dataset, rows: Any) -> np.ndarray:
        return 2 * dataset.values["x"][rows][:, None] + 0.1

    changes: dict[str, Any] = {"evaluation": {"group": "who"}, "features": ("x",)}
    test = measured(dataset, double, **changes).evidence["test"]
    assert (test["resampled"], test["units"] * 10) == ("groups", test["rows"])
    assert "groups" in test["note"]
