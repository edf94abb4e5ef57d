"""The files of versions alone: what other programs read in them, and answer with them."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from onnxruntime.quantization import quantize_dynamic

from models import __version__
from models.data.dataset import Dataset
from models.data.formats.reading import from_arrays
from models.registry.building import build_version
from models.registry.export import Candidate, ExportSpec
from models.serving.engine import LoadedVersion, Prediction, PredictionEngine
from models.serving.imports.graph import import_graph
from models.serving.imports.inputs import Wanted
from models.serving.signature import Signature
from models.store.artifacts import Artifacts
from tests.files import from_records
from tests.registry.conftest import FEATURES, house_records
from tests.registry.stored import stored

Tune = Callable[..., ExportSpec]
KINDS = ("regression", "classes", "image", "ensemble", "single", "text", "texts")
RECIPES = Path(__file__).with_name("recipes.py")


@dataclass(frozen=True)
class Made:
    """A version whose files lie in a folder, some rows, and what the service answers for them."""

    folder: Path
    signature: dict[str, Any]
    rows: list[dict[str, Any]]
    expected: Prediction

    @property
    def graph(self) -> onnx.ModelProto:
        return onnx.load(self.folder / "model.onnx")

    @property
    def readme(self) -> str:
        return (self.folder / "README.md").read_text(encoding="utf-8")

    @property
    def answers(self) -> np.ndarray:
        """Those of the graph's output."""
        expected = self.expected
        if expected.probabilities is None:
            return np.array(expected.predictions, float)[:, None]
        return np.array(expected.probabilities)

    def feed(self, session: onnxruntime.InferenceSession) -> dict[str, np.ndarray]:
        """The rows as arrays; the metadata names the input of each column."""
        columns = json.loads(session.get_modelmeta().custom_metadata_map["columns"])
        inputs = {item.name: item for item in session.get_inputs()}
        types = {"tensor(double)": np.float64, "tensor(float)": np.float32}
        feed = {}
        for column in columns:
            item = inputs[column["input"]]
            cells = [_cell(column["type"], row[column["name"]]) for row in self.rows]
            array = np.array(cells, dtype=types.get(item.type, object))
            feed[item.name] = array.reshape([-1, *item.shape[1:]])
        return feed


def _cell(kind: str, value: Any) -> Any:
    if kind in ("category", "text"):
        return value or ""
    if kind == "datetime" and value is not None:
        return pd.Timestamp(value).timestamp()
    return np.nan if value is None else value if kind == "image" else float(value)


@pytest.fixture(scope="module")
def specs(houses: Dataset, tune: Tune) -> dict[str, ExportSpec]:
    """Versions of every task, of images and texts, of several networks, of trained encodings."""
    pixels = np.random.default_rng(0).integers(0, 256, (60, 4, 4))
    reviews = [
        {
            "review": ["so good", "very bad", "good, not bad"][n % 3] * 3 + f" {n}",
            "n": n,
            "y": n % 3,
        }
        for n in range(60)
    ]
    first = tune(houses, "price", FEATURES)
    encoded = {"numeric_encoding": "quantile", "category_encoding": "target", "units": 4}
    second = tune(houses, "price", FEATURES, values=encoded)
    other = Candidate(replace(second.trial, number=4), second.result)
    embedded = {"numeric_encoding": "periodic", "category_encoding": "embedding", "frequencies": 4}
    embedded |= {"frequency_scale": 0.1, "numeric_embedding_size": 4}
    embedded |= {"category_embedding_size": 2}
    texts = from_records(reviews, {"review": "text"})
    plain, ranked = (
        tune(texts, "y", values={"numeric_encoding": e}) for e in ("standard", "quantile")
    )
    return {
        "regression": tune(houses, "price", FEATURES, values={"members": 4}),
        "classes": replace(tune(houses, "liked", FEATURES, values=embedded), threshold=0.3),
        "image": tune(from_arrays(pixels, np.arange(60) % 3), "y"),
        "ensemble": replace(first, others=(other,), picks=4, refit=True),
        "single": tune(houses, "price", ("area",)),
        "text": tune(texts, "y"),
        "texts": replace(
            plain,
            others=(Candidate(replace(ranked.trial, number=4), ranked.result),),
            picks=2,
            refit=True,
        ),
    }


@pytest.fixture(scope="module")
def made(
    specs: dict[str, ExportSpec], artifacts: Artifacts, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Made]:
    found = {}
    for kind, spec in specs.items():
        result = build_version(spec)
        folder = tmp_path_factory.mktemp(kind)
        files = stored(artifacts)
        for name in result.files.keys() - {"evidence.json"}:
            (folder / name).write_bytes(files.read("houses", spec.version, name))
        rows = _rows(kind, result.signature)
        (folder / "rows.json").write_text(json.dumps(rows), encoding="utf-8")
        expected = PredictionEngine(files, 1).predict("houses", spec.version, rows)
        found[kind] = Made(folder, result.signature, rows, expected)
    return found


def _rows(kind: str, signature: dict[str, Any]) -> list[dict[str, Any]]:
    names = [column["name"] for column in signature["columns"]]
    if kind == "image":
        pixels = np.random.default_rng(1).integers(0, 256, (5, 4, 4)).tolist()
        return [{"x": image} for image in pixels]
    if kind.startswith("text"):
        texts = ("good", "never seen ünïcode", "very bad " * 40, None)
        return [{"review": text, "n": 3} for text in texts]
    return [{name: row[name] for name in names} for row in house_records()[:30]]


def session_of(content: onnx.ModelProto | Path) -> onnxruntime.InferenceSession:
    source = str(content) if isinstance(content, Path) else content.SerializeToString()
    return onnxruntime.InferenceSession(source, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("kind", KINDS)
def test_a_graph_explains_itself(made: dict[str, Made], kind: str) -> None:
    graph, signature = made[kind].graph, made[kind].signature
    onnx.checker.check_model(graph, full_check=True)
    domains = [entry.domain for entry in graph.opset_import]
    assert len(domains) == len(set(domains))
    assert (graph.producer_name, graph.producer_version) == ("luthier", __version__)
    names = [column["name"] for column in signature["columns"]]
    assert [value.name for value in graph.graph.input] == names
    assert all(value.doc_string for value in (*graph.graph.input, *graph.graph.output))
    told = {entry.key: json.loads(entry.value) for entry in graph.metadata_props}
    assert told["classes"] == signature["classes"]
    assert [column["name"] for column in told["columns"]] == names
    assert told["target"] == signature["target"]
    assert told["threshold"] == signature.get("threshold")


@pytest.mark.parametrize("kind", KINDS)
def test_an_imported_graph_is_the_same_version(made: dict[str, Made], kind: str) -> None:
    """It takes the same rows, dates and texts included, and answers the same."""
    version = made[kind]
    content = (version.folder / "model.onnx").read_bytes()
    graph, signature, _ = import_graph(content, Wanted(), "m")
    for name in ("task", "target", "classes", "columns", "threshold", "positive_class"):
        assert signature.get(name) == version.signature.get(name), name
    session = onnxruntime.InferenceSession(graph)
    is_flat = all(len(item.shape) == 1 for item in session.get_inputs())
    again = LoadedVersion("m", 1, Signature.from_json(signature), session, is_flat=is_flat)
    found = again.predict(version.rows)
    assert found.predictions == version.expected.predictions
    assert found.probabilities == version.expected.probabilities


@pytest.mark.parametrize("kind", KINDS)
def test_a_quantized_graph_answers_about_the_same(
    made: dict[str, Made], kind: str, tmp_path: Path
) -> None:
    version = made[kind]
    quantize_dynamic(version.folder / "model.onnx", tmp_path / "small.onnx")
    session = session_of(tmp_path / "small.onnx")
    (answers,) = session.run(None, version.feed(session))
    spread = max(float(np.ptp(version.answers)), 1e-3)
    # Processors without VNNI saturate sums of 8-bit products: single answers may lie farther off.
    assert np.median(np.abs(answers - version.answers)) <= 0.2 * spread


def mlflow_feed(session: onnxruntime.InferenceSession, data: Any) -> dict[str, np.ndarray]:
    """What `predict` of MLflow 3.17, in mlflow/onnx/__init__.py, feeds for a table or an array."""
    inputs = [(item.name, item.type) for item in session.get_inputs()]
    if isinstance(data, np.ndarray):
        feed = {inputs[0][0]: data}
    elif len(inputs) > 1:
        feed = {name: data[name].values for name, _ in inputs}
    else:
        feed = {inputs[0][0]: data.values}
    return {
        name: cells.astype(np.float32)
        if dict(inputs)[name] == "tensor(float)" and cells.dtype == np.float64
        else cells
        for name, cells in feed.items()
    }


@pytest.mark.parametrize("kind", KINDS)
def test_a_graph_takes_what_mlflow_makes_of_a_table(made: dict[str, Made], kind: str) -> None:
    version = made[kind]
    session = session_of(version.graph)
    feed = version.feed(session)
    # A table has no column of images: they go in as one array.
    columns = {name: pd.Series(cells.ravel(), dtype=cells.dtype) for name, cells in feed.items()}
    data = feed["x"].astype(np.float64) if kind == "image" else pd.DataFrame(columns)
    (answers,) = session.run(None, mlflow_feed(session, data))
    np.testing.assert_allclose(answers.ravel(), version.answers.ravel(), rtol=1e-6, atol=1e-6)


def _model_config() -> Any:
    """The messages of Triton's model_config.proto, as far as a version's configuration has them."""
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="config.proto", package="t", syntax="proto3")
    types = file.enum_type.add(name="DataType")
    for number, name in enumerate(("INVALID", "BOOL", *[f"X{n}" for n in range(2, 8)], "INT64")):
        types.value.add(name=f"TYPE_{name}", number=number)
    for number, name in ((11, "FP32"), (12, "FP64"), (13, "STRING")):
        types.value.add(name=f"TYPE_{name}", number=number)

    def message(kind: str, /, **fields: tuple[int, int, bool, str]) -> None:
        made = file.message_type.add(name=kind)
        for each, (number, type_, is_repeated, type_name) in fields.items():
            label = field.LABEL_REPEATED if is_repeated else field.LABEL_OPTIONAL
            made_field = made.field.add(name=each, number=number, type=type_, label=label)
            if type_name:
                made_field.type_name = type_name

    text, whole, part = field.TYPE_STRING, field.TYPE_INT64, field.TYPE_MESSAGE
    message("Reshape", shape=(1, whole, True, ""))
    message("Batching")
    for kind, dims in (("Input", 4), ("Output", 3)):
        message(
            kind,
            name=(1, text, False, ""),
            data_type=(2, field.TYPE_ENUM, False, ".t.DataType"),
            dims=(dims, whole, True, ""),
            reshape=(5, part, False, ".t.Reshape"),
        )
    message(
        "Config",
        name=(1, text, False, ""),
        max_batch_size=(4, field.TYPE_INT32, False, ""),
        input=(5, part, True, ".t.Input"),
        output=(6, part, True, ".t.Output"),
        dynamic_batching=(11, part, False, ".t.Batching"),
        backend=(17, text, False, ""),
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("t.Config"))


@pytest.mark.parametrize("kind", KINDS)
def test_the_configuration_for_triton_is_that_of_the_graph(
    made: dict[str, Made], kind: str
) -> None:
    version = made[kind]
    written = version.readme.split("```proto\n")[1].split("```")[0]
    config = text_format.Parse(written, _model_config()())
    assert (config.name, config.backend) == ("houses", "onnxruntime")
    assert config.max_batch_size > 1
    assert config.HasField("dynamic_batching")
    types = {12: onnx.TensorProto.DOUBLE, 11: onnx.TensorProto.FLOAT, 13: onnx.TensorProto.STRING}
    graph = version.graph.graph
    for tensors, values in ((config.input, graph.input), (config.output, graph.output)):
        assert [tensor.name for tensor in tensors] == [value.name for value in values]
        for tensor, value in zip(tensors, values, strict=True):
            known = value.type.tensor_type
            assert types[tensor.data_type] == known.elem_type
            # As its backend compares them: the batch is left out, and a reshape goes first.
            sides = tensor.reshape.shape if tensor.HasField("reshape") else tensor.dims
            assert list(sides) == [side.dim_value for side in known.shape.dim[1:]]
            assert known.shape.dim[0].dim_param == "rows"


@pytest.fixture(scope="module")
def recipes(made: dict[str, Made]) -> dict[str, list[dict[str, Any]]]:
    """What the programs of each README.md answer, in a process without Luthier."""
    folders = [str(version.folder) for version in made.values()]
    done = subprocess.run(
        [sys.executable, "-P", str(RECIPES), *folders],
        capture_output=True,
        text=True,
        check=False,
        cwd=folders[0],
    )
    assert done.returncode == 0, done.stderr
    return dict(zip(made, json.loads(done.stdout), strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_the_programs_of_the_readme_answer_as_the_service(
    made: dict[str, Made],
    recipes: dict[str, list[dict[str, Any]]],
    kind: str,
) -> None:
    version = made[kind]
    of_sample, of_rows, keras_of_rows = recipes[kind]
    assert len(of_sample["predictions"]) == 1
    scale = max(1.0, float(np.abs(version.answers).max()))
    for found in (of_rows, keras_of_rows):
        np.testing.assert_allclose(found["answers"], version.answers, rtol=1e-4, atol=1e-5 * scale)
    if version.expected.classes is not None:
        assert of_rows["predictions"] == version.expected.predictions
        assert keras_of_rows["predictions"] == version.expected.predictions
