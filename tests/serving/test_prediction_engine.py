import json
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from onnx import TensorProto, helper

from models.errors import ArtifactError, Invalid, Unreadable
from models.registry.files import VersionFiles
from models.serving.engine import AnswerOptions, Prediction, PredictionEngine
from models.store.artifacts import Artifacts
from tests.tiny_versions import signature_of, write_file

Register = Callable[..., None]


class CountingArtifacts(Artifacts):
    """The real store, which also counts what is read from it."""

    def __init__(self, root: str) -> None:
        super().__init__(root)
        self.reads: list[str] = []

    def read(self, name: str) -> bytes:
        self.reads.append(name)
        return super().read(name)


def counted(artifacts: Artifacts, registered: Any) -> tuple[PredictionEngine, CountingArtifacts]:
    """An engine, and the store that it reads from."""
    counting = CountingArtifacts(artifacts.root)
    files = VersionFiles(counting, lambda model, version: registered[model, version])
    return PredictionEngine(files, 1), counting


def test_a_regression_answers_numbers(files: VersionFiles, register: Register) -> None:
    register("double", 3)
    answer = PredictionEngine(files, 2).predict("double", 3, [{"x": 2}, [0.25]])
    assert answer == Prediction("double", 3, [7.0, 3.5])


@pytest.mark.parametrize("labels", [["no", "yes"], [0, 1], [False, True], [3, 8]])
def test_classes_come_back_as_the_labels_of_the_data(
    files: VersionFiles, register: Register, labels: list[Any]
) -> None:
    register("coin", 1, labels)
    answer = PredictionEngine(files, 2).predict("coin", 1, [{"x": 0.75}, {"x": 0.25}])
    assert answer == Prediction(
        "coin", 1, [labels[1], labels[0]], [[0.25, 0.75], [0.75, 0.25]], labels
    )
    assert [type(label) for label in answer.predictions] == [type(labels[0])] * 2


def test_a_row_without_a_finite_answer_is_refused(files: VersionFiles, register: Register) -> None:
    register("double", 1)
    register("coin", 1, ["no", "yes"])
    engine = PredictionEngine(files, 2)
    with pytest.raises(Invalid, match="finite") as caught:
        engine.predict("double", 1, [{"x": 1e308}, {"x": 1}, {"x": None}])
    assert list(caught.value.errors) == ["instances.0", "instances.2"]
    with pytest.raises(Invalid, match="finite") as caught:
        engine.predict("coin", 1, [{"x": 1}, {"x": None}])
    assert list(caught.value.errors) == ["instances.1"]


def test_instances_that_do_not_fit_are_refused(files: VersionFiles, register: Register) -> None:
    register("double", 1)
    with pytest.raises(Invalid, match="is not a number") as caught:
        PredictionEngine(files, 2).predict("double", 1, [{"x": "one"}])
    assert list(caught.value.errors) == ["instances.0.x"]


def test_versions_of_one_model_are_kept_apart(files: VersionFiles, register: Register) -> None:
    engine = PredictionEngine(files, 4)
    for version in (1, 2):
        register("double", version)
        register(f"other{version}", 10 * version)
    assert engine.predict("double", 1, [[0]]).predictions == [1.0]
    assert engine.predict("double", 2, [[0]]).predictions == [2.0]
    assert engine.predict("other2", 20, [[0]]).predictions == [20.0]


def test_the_version_used_longest_ago_is_forgotten(files: VersionFiles, register: Register) -> None:
    for version in (1, 2, 3):
        register("double", version)
    engine = PredictionEngine(files, 2)
    for version in (1, 2, 1, 3):
        engine.predict("double", version, [[0]])
    assert engine.held() == (("double", 1), ("double", 3))


def test_a_held_version_is_not_read_again(
    artifacts: Artifacts, registered: Any, register: Register
) -> None:
    register("double", 1)
    engine, counting = counted(artifacts, registered)
    engine.predict("double", 1, [[1]])
    engine.predict("double", 1, [[0]])
    assert sorted(name.rpartition("/")[2] for name in counting.reads) == [
        "model.onnx",
        "signature.json",
    ]


def test_threads_that_ask_for_a_cold_version_load_it_once(
    artifacts: Artifacts, registered: Any, register: Register
) -> None:
    register("double", 1)
    engine, counting = counted(artifacts, registered)
    together = threading.Barrier(8)

    def ask(number: int) -> Any:
        together.wait()
        return [engine.predict("double", 1, [[number]]).predictions for _ in range(50)]

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(ask, range(8)))
    assert answers == [[[2.0 * number + 1.0]] * 50 for number in range(8)]
    assert len([name for name in counting.reads if name.endswith("model.onnx")]) == 1


def test_a_missing_file_is_an_artifact_error_and_is_asked_for_again(
    artifacts: Artifacts, files: VersionFiles, register: Register
) -> None:
    engine = PredictionEngine(files, 1)
    register("double", 1)
    artifacts.delete("models/double")
    with pytest.raises(ArtifactError, match=r"models/double/1/.*model\.onnx' is missing"):
        engine.predict("double", 1, [[0]])
    assert engine.held() == ()
    register("double", 1)
    assert engine.predict("double", 1, [[0]]).predictions == [1.0]


def test_a_file_that_is_no_graph_is_unreadable(
    artifacts: Artifacts, registered: Any, files: VersionFiles, register: Register
) -> None:
    register("double", 1)
    entry = write_file(artifacts, "models/double/1", "model.onnx", b"not a graph")
    registered["double", 1]["model.onnx"] = entry
    with pytest.raises(Unreadable, match=r"model\.onnx of version 1 of model 'double'"):
        PredictionEngine(files, 1).predict("double", 1, [[0]])


@pytest.mark.parametrize("file", ["model.onnx", "signature.json"])
def test_a_file_that_has_changed_is_never_used(
    artifacts: Artifacts, registered: Any, files: VersionFiles, register: Register, file: str
) -> None:
    register("double", 1)
    name = f"models/double/1/{registered['double', 1][file]['path']}"
    artifacts.write(name, artifacts.read(name) + b" ")
    with pytest.raises(ArtifactError, match=rf"{file}' is not the one"):
        PredictionEngine(files, 1).predict("double", 1, [[0]])


def test_many_rows_are_answered_in_order(files: VersionFiles, register: Register) -> None:
    register("double", 1)
    answer = PredictionEngine(files, 1).predict("double", 1, [[k] for k in range(3000)])
    assert answer.predictions == [2.0 * k + 1.0 for k in range(3000)]


def test_serving_imports_no_training_library() -> None:
    code = (
        "import sys, models.serving.engine;"
        "heavy = {'tensorflow', 'keras', 'pandas', 'sklearn', 'onnx', 'tf2onnx', 'pyarrow'};"
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_an_older_graph_gets_a_datetime_as_five_parts(
    artifacts: Artifacts, files: VersionFiles, registered: dict[tuple[str, int], dict[str, Any]]
) -> None:
    double = TensorProto.DOUBLE
    graph = helper.make_graph(
        [helper.make_node("ReduceSum", ["when", "axis"], ["prediction"])],
        "older",
        [helper.make_tensor_value_info("when", double, ["rows", 5])],
        [helper.make_tensor_value_info("prediction", double, ["rows", 1])],
        [helper.make_tensor("axis", TensorProto.INT64, [1], [1])],
    )
    older = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    signature = signature_of() | {"columns": [{"name": "when", "type": "datetime"}]}
    content = {
        "model.onnx": older.SerializeToString(),
        "signature.json": json.dumps(signature).encode(),
    }
    registered["older", 1] = {
        name: write_file(artifacts, "models/older/1", name, file) for name, file in content.items()
    }
    engine = PredictionEngine(files, 1)
    answer = engine.predict("older", 1, [["2024-05-31T14:30:00Z"]])
    assert answer.predictions == [2024 + 5 + 31 + 4 + 14.5]
    with pytest.raises(Invalid, match="finite"):
        engine.predict("older", 1, [[None]])


def test_a_version_of_an_older_release_has_no_intervals(
    files: VersionFiles, register: Register
) -> None:
    register("double", 3)
    engine = PredictionEngine(files, 2)
    with pytest.raises(Invalid) as caught:
        engine.predict("double", 3, [{"x": 2}], options=AnswerOptions(0.9))
    (message,) = caught.value.errors["interval"]
    assert message.startswith("This version has no intervals.")


@pytest.mark.parametrize(
    "document",
    [
        b"no json",
        b"[]",
        b"{}",
        b'{"rows": 2, "scores": []}',
        b'{"rows": 1, "scores": [1, 2]}',
        b'{"rows": 1, "scores": [NaN]}',
        b'{"rows": 1, "scores": ["a"]}',
        b'{"rows": -1, "scores": []}',
    ],
)
def test_scores_that_cannot_be_read_are_told(
    artifacts: Artifacts, files: VersionFiles, register: Register, registered: Any, document: bytes
) -> None:
    register("double", 3)
    name = "calibration.json"
    registered["double", 3][name] = write_file(artifacts, "models/double/3", name, document)
    with pytest.raises(Unreadable, match=r"calibration\.json of version 3 of model 'double'"):
        PredictionEngine(files, 2).predict("double", 3, [{"x": 2}])


def test_a_version_answers_with_the_scores_it_has(
    artifacts: Artifacts, files: VersionFiles, register: Register, registered: Any
) -> None:
    register("double", 3)
    register("coin", 1, ["no", "yes"])
    name, scores = "calibration.json", [0.1 * place for place in range(1, 10)]
    document = json.dumps({"rows": 9, "scores": scores, "lowest": 0.0, "newer": 1}).encode()
    for model, version in (("double", 3), ("coin", 1)):
        folder = f"models/{model}/{version}"
        registered[model, version][name] = write_file(artifacts, folder, name, document)
    engine = PredictionEngine(files, 2)
    found = engine.predict("double", 3, [{"x": 2}, {"x": -1.4}], options=AnswerOptions(0.8))
    assert found.predictions == pytest.approx([7.0, 0.2])
    assert found.lower == pytest.approx([6.2, 0.0])
    assert found.upper == pytest.approx([7.8, 1.0])
    sets = engine.predict("coin", 1, [{"x": 0.75}, {"x": 0.95}], options=AnswerOptions(0.8))
    assert sets.labels == [["no", "yes"], ["yes"]]
