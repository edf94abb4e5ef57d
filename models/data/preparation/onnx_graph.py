"""The preprocessor as an ONNX graph: raw columns in, network inputs out."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from models.data.columns import ColumnType
from models.data.datetimes import PARTS
from models.data.preparation.features import CategoryFeature, ImageFeature, input_name
from models.data.preparation.preprocessing import Preprocessor

OPSET = 18
ML_OPSET = 3
IR_VERSION = 8  # the one that belongs to opset 18
OUTPUT = "features"


def preprocessing_graph(preprocessor: Preprocessor) -> onnx.ModelProto:
    """Build an ONNX model that computes `Preprocessor.transform`.

    Inputs, named by `features.input_name`: number and boolean double [N, 1], NaN for missing;
    category string [N, 1], "" for missing; datetime double [N, 5], the components of
    `datetimes.expand`; image float [N, height, width(, channels)]. One output, `features`: float
    [N, features] or [N, height, width, channels].
    """
    graph = _Graph()
    if preprocessor.image is not None:
        _image(graph, preprocessor.image)
    else:
        blocks = [_scaled(graph, preprocessor)] if preprocessor.scaled else []
        if preprocessor.categories:
            blocks.append(_categories(graph, preprocessor.categories))
        graph.add("Concat", blocks, OUTPUT, axis=1)
    output = helper.make_tensor_value_info(
        OUTPUT, TensorProto.FLOAT, ["N", *preprocessor.output_shape]
    )
    model = helper.make_model(
        helper.make_graph(graph.nodes, "preprocessing", graph.inputs, [output], graph.constants),
        opset_imports=[
            helper.make_opsetid("", OPSET),
            helper.make_opsetid("ai.onnx.ml", ML_OPSET),
        ],
        ir_version=IR_VERSION,
        producer_name="luthier",
    )
    onnx.checker.check_model(model)
    return model


@dataclass(slots=True)
class _Graph:
    """A graph under construction; internal names start with `preprocessing/`."""

    nodes: list[Any] = field(default_factory=list)
    inputs: list[Any] = field(default_factory=list)
    constants: list[Any] = field(default_factory=list)

    def input(self, column: str, element: int, shape: tuple[int, ...]) -> str:
        name = input_name(column)
        self.inputs.append(helper.make_tensor_value_info(name, element, ["N", *shape]))
        return name

    def constant(self, name: str, values: np.ndarray[Any, Any]) -> str:
        path = f"preprocessing/{name}"
        self.constants.append(numpy_helper.from_array(values, path))
        return path

    def add(self, operator: str, inputs: list[str], name: str, **attributes: Any) -> str:
        path = name if name == OUTPUT else f"preprocessing/{name}"
        self.nodes.append(helper.make_node(operator, inputs, [path], name=path, **attributes))
        return path


def _scaled(graph: _Graph, preprocessor: Preprocessor) -> str:
    raw = []
    for feature in preprocessor.scaled:
        width = len(PARTS) if feature.type is ColumnType.DATETIME else 1
        raw.append(graph.input(feature.name, TensorProto.DOUBLE, (width,)))
    fill, mean, scale = preprocessor.scaling()
    numbers = graph.add("Concat", raw, "numbers", axis=1)
    missing = graph.add("IsNaN", [numbers], "missing")
    filled = graph.add("Where", [missing, graph.constant("fill", fill), numbers], "filled")
    centred = graph.add("Sub", [filled, graph.constant("mean", mean)], "centred")
    scaled = graph.add("Div", [centred, graph.constant("scale", scale)], "scaled_double")
    return graph.add("Cast", [scaled], "scaled", to=TensorProto.FLOAT)


def _categories(graph: _Graph, features: tuple[CategoryFeature, ...]) -> str:
    off_on = graph.constant("off_on", np.array([0, 1], dtype=np.float32))
    blocks = []
    for number, feature in enumerate(features):
        texts = graph.input(feature.name, TensorProto.STRING, (1,))
        codes = graph.add(
            "LabelEncoder",
            [texts],
            f"codes_{number}",
            domain="ai.onnx.ml",
            keys_strings=list(feature.codes),
            values_int64s=list(feature.codes.values()),
            default_int64=feature.unseen_code,
        )
        width = graph.constant(f"width_{number}", np.array(feature.width, dtype=np.int64))
        blocks.append(graph.add("OneHot", [codes, width, off_on], f"one_hot_{number}", axis=-1))
    joined = graph.add("Concat", blocks, "one_hot", axis=2)
    places = sum(feature.width for feature in features)
    shape = graph.constant("shape", np.array([-1, places], dtype=np.int64))
    return graph.add("Reshape", [joined, shape], "categories")


def _image(graph: _Graph, feature: ImageFeature) -> None:
    pixels = graph.input(feature.name, TensorProto.FLOAT, feature.shape)
    mean = graph.constant("mean", np.array(feature.mean, dtype=np.float32))
    scale = graph.constant("scale", np.array(feature.scale, dtype=np.float32))
    centred = graph.add("Sub", [pixels, mean], "centred")
    scaled = graph.add("Div", [centred, scale], "scaled")
    shape = graph.constant("shape", np.array([-1, *feature.output_shape], dtype=np.int64))
    graph.add("Reshape", [scaled, shape], OUTPUT)
