"""A new version beside the champion: which rows count, and what the figures say."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from models.data.dataset import Dataset
from models.registry.building import build_version
from models.registry.catalog.promotion import Comparison, ComparisonSpec, Rival, is_better
from models.registry.evidence.champion import compare_with_champion
from models.registry.export import ExportResult, ExportSpec
from models.store.artifacts import Artifacts
from tests.files import from_records

Exported = tuple[ExportSpec, ExportResult]
Export = Callable[..., Exported]

GOOD = {"num_layers": 0, "learning_rate": 0.1, "optimizer": "adam", "batch_size": 16}
POOR = GOOD | {"learning_rate": 1e-6}
TESTED = {"test_fraction": 0.3}


def lines(first: int = 0, count: int = 200) -> list[dict[str, Any]]:
    """Rows of a plane with some noise: of two calls, equal numbers have equal rows."""
    generator = np.random.default_rng(3)
    noise = generator.normal(size=(1000, 3))
    return [
        {
            "a": float(a),
            "b": None if number % 9 == 0 else ["x", "y", "z"][number % 3],
            "y": float(5 * a + number % 3 + 0.1 * other),
            "kind": "low" if a < 0 else "high",
        }
        for number, (a, other, _) in enumerate(noise[first : first + count], first)
    ]


@pytest.fixture(scope="module")
def export(tune: Callable[..., ExportSpec]) -> Export:
    """Train and write a version that learns `y` of `a` and `b`."""
    datasets: dict[tuple[int, int], Dataset] = {}

    def make(
        values: dict[str, Any],
        rows: tuple[int, int] = (0, 200),
        target: str = "y",
        features: tuple[str, ...] = ("a", "b"),
        **evaluation: Any,
    ) -> Exported:
        if rows not in datasets:
            datasets[rows] = from_records(lines(*rows))
        spec = tune(datasets[rows], target, features, values, **(TESTED | evaluation))
        return spec, build_version(spec)

    return make


@pytest.fixture(scope="module")
def poor(export: Export) -> Exported:
    return export(POOR)


@pytest.fixture(scope="module")
def good(export: Export) -> Exported:
    return export(GOOD)


def beside(new: Exported, champion: Exported, **changes: Any) -> Comparison:
    spec, result = new
    old = champion[1]
    rival = Rival(champion[0].version, old.files, old.signature, old.evidence["lineage"])
    return compare_with_champion(
        ComparisonSpec(
            model=spec.model,
            version=spec.version,
            data=spec.trial.data,
            objective=spec.trial.objective,
            files=result.files,
            signature=result.signature,
            champion=replace(rival, **changes),
        )
    )


def test_a_better_version_of_the_same_rows_is_found_better(good: Exported, poor: Exported) -> None:
    found = beside(good, poor)
    assert (found.champion, found.differs, found.trouble) == (poor[0].version, (), None)
    assert (found.rows, found.metric) == (60, "rmse")
    assert is_better(found, 0.0) is True
    tested = good[1].metrics
    assert tested is not None
    assert found.score == pytest.approx(tested["rmse"])
    assert found.interval == pytest.approx(good[1].evidence["test"]["intervals"]["rmse"])
    assert found.champion_score == pytest.approx(poor[1].metrics["rmse"])  # type: ignore[index]
    assert found.difference == pytest.approx(found.champion_score - found.score)  # type: ignore[operator]
    assert found.difference_interval is not None
    low, high = found.difference_interval
    assert 0 < low < found.difference < high  # type: ignore[operator]


def test_a_worse_version_is_found_worse_and_an_equal_one_undecided(
    good: Exported, poor: Exported
) -> None:
    assert is_better(beside(poor, good), 0.0) is False
    same = beside(good, good)
    assert (same.difference, same.difference_interval) == (0, [0, 0])
    assert is_better(same, 0.0) == "undecided"


def test_classes_are_compared_by_the_objective(export: Export) -> None:
    champion = export(POOR, target="kind")
    spec, result = export(GOOD, target="kind")
    found = beside((spec, result), champion)
    assert (found.metric, is_better(found, 0.0)) == ("loss", True)
    f1 = replace(spec.trial, objective=replace(spec.trial.objective, metric="f1", direction="max"))
    found = beside((replace(spec, trial=f1), result), champion)
    assert found.metric == "f1"
    assert found.score > found.champion_score  # type: ignore[operator]
    assert found.difference > 0  # type: ignore[operator]


def test_rows_that_the_champion_learned_from_do_not_count(
    export: Export, good: Exported, poor: Exported
) -> None:
    """Of a part drawn by another seed, the champion has learned from most rows."""
    found = beside(export(GOOD, seed=9), poor)
    assert found.difference is None
    assert found.trouble is not None
    assert "are new to the champion, and 20 are needed" in found.trouble
    assert "`evaluation.seed`" in found.trouble


def test_rows_that_were_added_count_and_copies_of_learned_ones_do_not(
    export: Export, poor: Exported
) -> None:
    more = export(GOOD, rows=(0, 300))
    found = beside(more, poor)
    _, held_out = more[0], more[1].evidence["test"]["rows"]
    assert held_out == 90
    assert found.rows is not None
    assert 20 <= found.rows < 60
    assert is_better(found, 0.0) is True
    others = beside(export(GOOD, rows=(500, 200)), poor)
    assert others.rows == 60, "all of them are new"


def test_a_champion_without_test_rows_has_learned_from_its_whole_dataset(
    export: Export, good: Exported
) -> None:
    found = beside(good, export(POOR, test_fraction=0.0))
    assert found.trouble is not None
    assert "Of the 60 test rows, 0 are new" in found.trouble


def test_without_test_rows_nothing_is_compared(export: Export, poor: Exported) -> None:
    found = beside(export(GOOD, test_fraction=0.0), poor)
    assert found.trouble is not None
    assert "Of the 0 test rows" in found.trouble


def test_another_question_is_not_compared(export: Export, poor: Exported) -> None:
    found = beside(export(GOOD, target="kind"), poor)
    assert found.differs == ("task", "target", "classes")
    assert found.trouble == "The two differ in task, target, classes."


def test_a_champion_of_fewer_columns_is_compared_and_one_of_unknown_columns_not(
    export: Export, good: Exported
) -> None:
    narrow = export(POOR, features=("b",))
    found = beside(good, narrow)
    assert (found.differs, found.rows) == (("inputs",), 60)
    unknown = narrow[1].signature["columns"] + [{"name": "c", "type": "number"}]
    found = beside(good, narrow, signature=narrow[1].signature | {"columns": unknown})
    assert found.trouble is not None
    assert "The champion takes the number 'c'" in found.trouble


def test_a_champion_whose_data_or_files_are_gone_is_not_compared(
    export: Export, poor: Exported
) -> None:
    newer = export(GOOD, rows=(500, 200))
    found = beside(newer, poor, lineage={"dataset": "ds_gone"})
    assert found.trouble is not None
    assert "The champion's dataset ds_gone is gone" in found.trouble
    found = beside(newer, poor, lineage={})
    assert found.trouble == "The champion does not say which rows it learned from."
    files = dict(poor[1].files)
    files["model.onnx"] = files["model.onnx"] | {"path": "none/model.onnx"}
    found = beside(newer, poor, files=files)
    assert found.trouble is not None
    assert "The champion cannot be run" in found.trouble


def test_the_rows_on_which_a_champion_was_validated_do_not_count(
    export: Export, poor: Exported, artifacts: Artifacts
) -> None:
    newer = export(GOOD, rows=(500, 200))
    lineage = poor[1].evidence["lineage"] | {"validation_dataset": newer[0].trial.data.dataset}
    found = beside(newer, poor, lineage=lineage)
    assert found.trouble is not None
    assert "Of the 60 test rows, 0 are new" in found.trouble
