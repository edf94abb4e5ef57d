"""The preprocessor as an ONNX graph: raw columns in, network inputs out."""

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import TensorProto

from models.data.columns import ColumnType
from models.data.datetimes import PARTS
from models.data.encoding.features import Array, CategoryFeature, ImageFeature
from models.data.encoding.onnx_builder import ML, OUTPUT, Graph
from models.data.encoding.onnx_datetimes import calendar
from models.data.encoding.onnx_texts import add_texts
from models.data.encoding.preprocessing import Preprocessor
from models.data.encoding.target_encoding import UNSEEN, EncodedFeature


def preprocessing_graph(preprocessor: Preprocessor) -> onnx.ModelProto:
    """Build an ONNX model that computes `Preprocessor.transform`.

    Inputs, named by `features.input_name`: number and boolean double [N, 1], NaN for missing;
    category and text string [N, 1], "" for
    missing; datetime double [N, 1], the seconds since 1970-01-01 UTC
    or NaN for missing; image float [N, height, width(, channels)]. One output, `features`: float
    [N, features] or [N, height, width, channels].
    """
    graph = Graph()
    if preprocessor.image is not None:
        _image(graph, preprocessor.image)
    else:
        blocks = [_scaled(graph, preprocessor)] if preprocessor.scaled else []
        if preprocessor.categories:
            texts = {
                feature.name: graph.input(feature.name, TensorProto.STRING, (1,))
                for feature in preprocessor.categories
            }
            blocks.append(_categories(graph, preprocessor.categories, texts))
            blocks += _encoded(graph, preprocessor.encoded, texts)
        blocks += add_texts(graph, preprocessor.texts)
        graph.add("Concat", blocks, OUTPUT, axis=1)
    model = graph.model(preprocessor.output_shape)
    onnx.checker.check_model(model)
    return model


def _scaled(graph: Graph, preprocessor: Preprocessor) -> str:
    plain: list[str] = []
    moments: list[str] = []
    for feature in preprocessor.scaled:
        name = graph.input(feature.name, TensorProto.DOUBLE, (1,))
        (moments if feature.type is ColumnType.DATETIME else plain).append(name)
    fill, mean, scale = preprocessor.scaling()
    blocks = [*plain, calendar(graph, moments)] if moments else plain
    numbers = graph.add("Concat", blocks, "numbers", axis=1)
    if plain and moments:
        numbers = graph.add(
            "Gather", [numbers, graph.constant("order", _order(preprocessor))], "ordered", axis=1
        )
    missing = graph.add("IsNaN", [numbers], "missing")
    filled = graph.add("Where", [missing, graph.constant("fill", fill), numbers], "filled")
    centred = graph.add("Sub", [filled, graph.constant("mean", mean)], "centred")
    scaled = graph.add("Div", [centred, graph.constant("scale", scale)], "scaled_double")
    return graph.add("Cast", [scaled], "scaled", to=TensorProto.FLOAT)


def _order(preprocessor: Preprocessor) -> Array:
    """Return where each component of `scaled` lies among plain numbers, then calendar parts."""
    places: list[int] = []
    plain = 0
    part = sum(feature.type is not ColumnType.DATETIME for feature in preprocessor.scaled)
    for feature in preprocessor.scaled:
        if feature.type is ColumnType.DATETIME:
            places += range(part, part + len(PARTS))
            part += len(PARTS)
        else:
            places.append(plain)
            plain += 1
    return np.array(places, dtype=np.int64)


def _categories(
    graph: Graph, features: tuple[CategoryFeature, ...], texts: Mapping[str, str]
) -> str:
    off_on = graph.constant("off_on", np.array([0, 1], dtype=np.float32))
    blocks = []
    for number, feature in enumerate(features):
        text, unseen = texts[feature.name], feature.unseen_code
        codes = _coded(graph, text, f"codes_{number}", feature.codes, unseen)
        width = graph.constant(f"width_{number}", np.array(feature.width, dtype=np.int64))
        blocks.append(graph.add("OneHot", [codes, width, off_on], f"one_hot_{number}", axis=-1))
    joined = graph.add("Concat", blocks, "one_hot", axis=2)
    places = sum(feature.width for feature in features)
    shape = graph.constant("shape", np.array([-1, places], dtype=np.int64))
    return graph.add("Reshape", [joined, shape], "categories")


def _coded(graph: Graph, text: str, name: str, codes: Mapping[str, int], unseen: int) -> str:
    """Add the number of each text, `unseen` for one that is not among `codes`."""
    return graph.add(
        "LabelEncoder",
        [text],
        name,
        domain=ML,
        keys_strings=list(codes),
        values_int64s=list(codes.values()),
        default_int64=unseen,
    )


def _encoded(
    graph: Graph, features: tuple[EncodedFeature, ...], texts: Mapping[str, str]
) -> list[str]:
    blocks = []
    for number, feature in enumerate(features):
        text = texts[feature.name]
        codes = _coded(graph, text, f"encoded_codes_{number}", feature.codes, UNSEEN)
        table = graph.constant(f"encoded_table_{number}", feature.table)
        rows = graph.add("Gather", [table, codes], f"encoded_rows_{number}", axis=0)
        axis = graph.constant(f"encoded_axis_{number}", [1], np.int64)
        blocks.append(graph.add("Squeeze", [rows, axis], f"encoded_{number}"))
    return blocks


def _image(graph: Graph, feature: ImageFeature) -> None:
    pixels = graph.input(feature.name, TensorProto.FLOAT, feature.shape)
    mean = graph.constant("mean", np.array(feature.mean, dtype=np.float32))
    scale = graph.constant("scale", np.array(feature.scale, dtype=np.float32))
    centred = graph.add("Sub", [pixels, mean], "centred")
    scaled = graph.add("Div", [centred, scale], "scaled")
    shape = graph.constant("shape", np.array([-1, *feature.output_shape], dtype=np.int64))
    graph.add("Reshape", [scaled, shape], OUTPUT)
