"""Graphs of others as versions: what is understood of them, and what is refused."""

import json
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from models.errors import Invalid, TooLarge
from models.serving.engine import LoadedVersion, Prediction
from models.serving.imports.graph import import_graph
from models.serving.imports.inputs import Wanted
from models.serving.imports.process import import_in_process
from models.serving.signature import Signature
from tests import foreign_graphs as graphs

MEMORY = 1536 * 1024**2


def answers(content: bytes, rows: list[Any], **wanted: Any) -> Prediction:
    """What the version of a graph answers."""
    graph, signature, _ = import_graph(content, Wanted(**wanted), "m")
    session = onnxruntime.InferenceSession(graph)
    is_flat = all(len(item.shape) == 1 for item in session.get_inputs())
    loaded = LoadedVersion("m", 1, Signature.from_json(signature), session, is_flat=is_flat)
    return loaded.answer(loaded.signature.feed(rows))


def refusal(content: bytes, **wanted: Any) -> dict[str, list[str]]:
    with pytest.raises(Invalid) as caught:
        import_graph(content, Wanted(**wanted), "m")
    return caught.value.errors


@pytest.mark.parametrize("element", [TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.INT64])
@pytest.mark.parametrize("opset", [9, 13, 18])
def test_a_matrix_becomes_columns(element: int, opset: int) -> None:
    found = answers(graphs.linear(3, element, opset), [[1, 2, 3], {"x1": 0, "x2": 0, "x3": 1}])
    assert found.predictions == [14.0, 3.0]
    named = answers(graphs.linear(None), [{"a": 1, "b": 1, "c": 1}], columns=["a", "b", "c"])
    assert named.predictions == [6.0]
    assert answers(graphs.linear(1), [[5], [6]]).predictions == [5.0, 6.0]


@pytest.mark.parametrize("rank", [1, 2])
def test_named_inputs_are_columns_of_their_types(rank: int) -> None:
    rows = [
        {"area": 1.5, "count": 2, "garden": True, "town": "Graz"},
        {"area": 1.5, "count": 2, "garden": False, "town": "Graz"},
        {"area": 0, "count": 1, "garden": True, "town": "Wien"},
    ]
    assert answers(graphs.named_columns(rank), rows).predictions == [105.0, 5.0, 1.0]
    for missing in ({"count": None}, {"count": 2.5}, {"garden": None}):
        with pytest.raises(Invalid, match="no finite answer"):
            answers(graphs.named_columns(rank), [rows[0] | missing])


@pytest.mark.parametrize("zipmap", [True, False])
@pytest.mark.parametrize("labels", [("cat", "dog"), ("a", "b", "c"), (7, 8, 9)])
def test_classifiers_name_their_classes(labels: tuple[Any, ...], zipmap: bool) -> None:
    content = graphs.classifier(labels, zipmap)
    found = answers(content, [[1.0, 2.0], [-3.0, 0.5]])
    assert found.classes == list(labels)
    model = onnx.load_model_from_string(graphs.classifier(labels, False))
    session = onnxruntime.InferenceSession(model.SerializeToString())
    label, expected = session.run(None, {"X": np.array([[1, 2], [-3, 0.5]], np.float32)})
    np.testing.assert_allclose(np.array(found.probabilities), expected, atol=1e-6)
    assert found.predictions == list(label)


def test_other_networks_are_told_their_classes() -> None:
    content = graphs.ending("Softmax")
    assert "request.classes" in refusal(content)
    found = answers(content, [[1, 2]], classes=["no", "yes"])
    assert found.classes == ["no", "yes"]
    single = answers(graphs.ending("Sigmoid", 1), [[1, 2]], classes=["no", "yes"])
    assert single.probabilities is not None
    np.testing.assert_allclose(single.probabilities[0][1], 1 / (1 + np.exp(-3.5)), rtol=1e-5)
    plain = answers(graphs.ending("Identity", 1), [[1, 2]], task="regression", target="price")
    assert plain.predictions == [3.5]


@pytest.mark.parametrize(
    ("content", "wanted", "path", "words"),
    [
        (b"PK not a graph", {}, "file", "not an ONNX graph"),
        (b"", {}, "file", ""),
        (graphs.with_external_data(), {}, "file", "other files"),
        (graphs.with_custom_operator(), {}, "file", "com.acme.Magic"),
        (graphs.ending("Identity"), {"classes": [0, 1]}, "file", "Softmax"),
        (graphs.ending("Identity", 1), {"classes": [0, 1]}, "file", "Sigmoid"),
        (graphs.ending("Softmax"), {"classes": [0, 1, 2]}, "request.classes", "2 numbers"),
        (graphs.ending("Softmax"), {"classes": [0, 0]}, "request.classes", "different"),
        (graphs.linear(None), {}, "request.columns", "how many"),
        (graphs.linear(3), {"columns": ["a"]}, "request.columns", "3 columns"),
        (graphs.linear(3), {"target": "x1"}, "request.target", "a column"),
        (graphs.linear(3), {"output": "other"}, "request.output", "variable"),
        (graphs.linear(3), {"task": "binary"}, "request.classes", "name its classes"),
        (graphs.linear(3), {"descriptions": {"z": "?"}}, "request.descriptions.z", "no such"),
        (graphs.linear(3), {"columns": ["a", "back/rows", "c"]}, "file", "begins with"),
        (graphs.linear(2), {"sample": {"x1": "big", "x2": 0}}, "request.sample.x1", "not a number"),
        (graphs.linear(2), {"sample": {"x1": 1e300, "x2": 0}}, "request.sample", "no finite"),
        (graphs.named_columns(), {"columns": ["a"]}, "request.columns", "one matrix"),
        (graphs.classifier(), {"task": "multiclass"}, "request.task", "binary"),
    ],
)
def test_a_graph_that_is_no_predictor_of_tables_is_refused(
    content: bytes, wanted: dict[str, Any], path: str, words: str
) -> None:
    errors = refusal(content, **wanted)
    assert list(errors) == [path]
    assert words in errors[path][0]


def test_shapes_that_are_no_columns_are_refused() -> None:
    relu = [helper.make_node("Relu", ["x"], ["y"])]
    for sides in ([], [4, 1], [None, 2, 2, 2, 2], [None, None, 3]):
        value = {"x": (TensorProto.FLOAT, sides)}
        assert "file" in refusal(graphs.graph_of(relu, value, {"y": (TensorProto.FLOAT, sides)}))
    labels = [helper.make_node("Cast", ["x"], ["y"], to=TensorProto.STRING)]
    value = {"x": (TensorProto.FLOAT, [None, 1])}
    errors = refusal(graphs.graph_of(labels, value, {"y": (TensorProto.STRING, [None, 1])}))
    assert "None of its outputs" in errors["file"][0]
    old = graphs.graph_of(relu, value, {"y": (TensorProto.FLOAT, [None, 1])}, opset=8)
    assert "opset" in refusal(old)["file"][0]


def test_an_image_goes_in_as_it_is() -> None:
    mean = [helper.make_node("ReduceMean", ["x", "axes"], ["y"], keepdims=0)]
    content = graphs.graph_of(
        mean,
        {"x": (TensorProto.FLOAT, [None, 2, 2])},
        {"y": (TensorProto.FLOAT, [None])},
        {"axes": np.array([1, 2], np.int64)},
    )
    assert answers(content, [[[1, 2], [3, 4]]]).predictions == [2.5]


def test_a_graph_that_takes_too_much_ends_with_its_process() -> None:
    with pytest.raises(Invalid, match="longer than 3 seconds"):
        import_in_process(graphs.endless(), {}, "m", MEMORY, seconds=3.0)
    with pytest.raises((TooLarge, Invalid)):
        import_in_process(graphs.huge(), {}, "m", MEMORY)


@pytest.mark.parametrize("labels", [("no", "yes"), (False, True), (7, 8, 9)])
def test_the_graph_of_a_version_may_be_imported_again(labels: tuple[Any, ...]) -> None:
    width = 1 if len(labels) == 2 else 3
    ending = "Sigmoid" if width == 1 else "Softmax"
    first, _, _ = import_graph(graphs.ending(ending, width), Wanted(classes=labels), "m")
    again, rows = answers(first, [{"x1": 1, "x2": 2}]), {"classes": labels}
    once = answers(graphs.ending(ending, width), [[1, 2]], **rows)
    assert again.classes == once.classes == list(labels)
    assert again.probabilities == once.probabilities


def test_the_threshold_of_a_version_is_imported_with_its_classes() -> None:
    first, _, _ = import_graph(graphs.ending("Sigmoid", 1), Wanted(classes=["ill", "well"]), "m")
    graph = onnx.load_model_from_string(first)
    rule = {"classes": '["ill", "well"]', "threshold": "0.9", "positive_class": '"ill"'}
    helper.set_model_props(graph, rule)
    content = graph.SerializeToString()
    _, signature, _ = import_graph(content, Wanted(), "m")
    assert (signature["threshold"], signature["positive_class"]) == (0.9, "ill")
    _, signature, _ = import_graph(content, Wanted(classes=["no", "yes"]), "m")
    assert (signature["threshold"], signature["positive_class"]) == (None, "yes")


@pytest.mark.parametrize("text", ["", "null", "{}", "[1.5, 2]", "[[1], 2]"])
def test_classes_that_are_none_in_the_metadata_are_not_taken(text: str) -> None:
    first, _, _ = import_graph(graphs.ending("Softmax"), Wanted(classes=["no", "yes"]), "m")
    graph = onnx.load_model_from_string(first)
    helper.set_model_props(graph, {"classes": text})
    assert "request.classes" in refusal(graph.SerializeToString())


def test_the_graph_of_a_version_keeps_what_was_said_of_it() -> None:
    said = Wanted(descriptions={"x2": "Rooms."}, target="price")
    graph, signature, page = import_graph(graphs.linear(3), said, "m")
    onnx.checker.check_model(onnx.load_model_from_string(graph), full_check=True)
    assert signature["columns"][1] == {"name": "x2", "type": "number", "description": "Rooms."}
    assert "Rooms." in page
    assert "model.keras" not in page


def own_graph(**told: Any) -> bytes:
    """The graph of a version that takes the numbers `x1` and `x2`, with this in its metadata."""
    made, _, _ = import_graph(graphs.linear(2), Wanted(target="price"), "m")
    graph = onnx.load_model_from_string(made)
    known = {entry.key: entry.value for entry in graph.metadata_props}
    helper.set_model_props(graph, known | {name: json.dumps(each) for name, each in told.items()})
    return graph.SerializeToString()


def test_the_columns_of_a_version_are_those_of_its_metadata() -> None:
    columns: list[dict[str, Any]] = [
        {"name": "Sold on", "input": "x1", "type": "datetime", "spelling": {"dates": "%d.%m.%Y"}},
        {"name": "Garden", "input": "x2", "type": "boolean", "description": "A green one."},
    ]
    _, signature, _ = import_graph(own_graph(columns=columns), Wanted(), "m")
    told = [{name: each[name] for name in each if name != "input"} for each in columns]
    assert signature["columns"] == told
    assert signature["target"] == "price"
    rows = [{"Sold on": "01.02.2003", "Garden": True}]
    assert len(answers(own_graph(columns=columns), rows).predictions) == 1


_FIRST = {"name": "a", "input": "x1", "type": "number"}
_SECOND = {"name": "b", "input": "x2", "type": "number"}


@pytest.mark.parametrize(
    "columns",
    [
        None,
        {},
        [],
        [_FIRST],
        [_FIRST, 7],
        [_FIRST, _FIRST],
        [_FIRST, _SECOND | {"name": "a"}],
        [_FIRST, _SECOND | {"name": " b"}],
        [_FIRST, _SECOND | {"name": ""}],
        [_FIRST, _SECOND | {"name": "front/0"}],
        [_FIRST, _SECOND | {"input": "x9"}],
        [_FIRST, _SECOND | {"type": "category"}],
        [_FIRST, _SECOND | {"type": "ignored"}],
        [_FIRST, _SECOND | {"spelling": {"decimal": 5}}],
        [_FIRST, _SECOND | {"spelling": {"words": 5}}],
    ],
    ids=lambda columns: json.dumps(columns)[-60:],
)
def test_columns_that_do_not_fit_are_not_taken(columns: Any) -> None:
    _, signature, _ = import_graph(own_graph(columns=columns), Wanted(), "m")
    assert [column["name"] for column in signature["columns"]] == ["x1", "x2"]


@pytest.mark.parametrize("target", [None, 7, "", " price", "x1"])
def test_a_target_that_is_none_is_not_taken(target: Any) -> None:
    _, signature, _ = import_graph(own_graph(target=target), Wanted(), "m")
    assert signature["target"] == "target"
    _, signature, _ = import_graph(own_graph(target=target), Wanted(target="value"), "m")
    assert signature["target"] == "value"
