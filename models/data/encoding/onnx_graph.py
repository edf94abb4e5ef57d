"""The preprocessor as an ONNX graph: raw columns in, network inputs out."""

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from onnx import TensorProto

from models.data.columns import ColumnType
from models.data.datetimes import PARTS
from models.data.encoding.choice import NumericEncoding
from models.data.encoding.features import Array, CategoryFeature, ImageFeature
from models.data.encoding.numbers import CLIP, FAR, Curves
from models.data.encoding.onnx_builder import ML, OUTPUT, Graph
from models.data.encoding.onnx_datetimes import calendar
from models.data.encoding.onnx_texts import add_texts
from models.data.encoding.preprocessing import Preprocessor
from models.data.encoding.target_encoding import UNSEEN, EncodedFeature


def preprocessing_graph(preprocessor: Preprocessor, is_flat: bool = False) -> onnx.ModelProto:
    """Build an ONNX model that computes `Preprocessor.transform`.

    Inputs, named by `features.input_name`: number and boolean double [N, 1], NaN for missing;
    category and text string [N, 1], "" for missing; datetime double [N, 1], the seconds since
    1970-01-01 UTC or NaN for missing; image float [N, height, width(, channels)]. With `is_flat`
    all but images are [N]. One output, `features`: float [N, features] or
    [N, height, width, channels].
    """
    graph = Graph(is_flat=is_flat)
    if preprocessor.image is not None:
        _image(graph, preprocessor.image)
    else:
        inputs = {
            item.name: graph.cells(item.name, TensorProto.DOUBLE) for item in preprocessor.scaled
        }
        names = [item.name for item in preprocessor.categories]
        names += [item.name for item in preprocessor.encoded]
        texts = {name: graph.cells(name, TensorProto.STRING) for name in dict.fromkeys(names)}
        blocks = [_scaled(graph, preprocessor, inputs)] if inputs else []
        if preprocessor.categories:
            blocks.append(_categories(graph, preprocessor.categories, texts))
        blocks += _indicators(graph, [inputs[name] for name in preprocessor.indicators])
        blocks += _encoded(graph, preprocessor.encoded, texts)
        blocks += add_texts(graph, preprocessor.texts)
        graph.add("Concat", blocks, OUTPUT, axis=1)
    model = graph.model(preprocessor.output_shape)
    onnx.checker.check_model(model)
    return model


def _scaled(graph: Graph, preprocessor: Preprocessor, inputs: Mapping[str, str]) -> str:
    is_moment = {item.name: item.type is ColumnType.DATETIME for item in preprocessor.scaled}
    plain = [inputs[name] for name, moment in is_moment.items() if not moment]
    moments = [inputs[name] for name, moment in is_moment.items() if moment]
    fill, mean, scale = preprocessor.scaling()
    numbers = graph.side_by_side(plain, "plain_numbers") if plain else calendar(graph, moments)
    if plain and moments:
        both = graph.add("Concat", [numbers, calendar(graph, moments)], "numbers", axis=1)
        numbers = graph.add(
            "Gather", [both, graph.constant("order", _order(preprocessor))], "ordered", axis=1
        )
    missing = graph.add("IsNaN", [numbers], "missing")
    filled = graph.add("Where", [missing, graph.constant("fill", fill), numbers], "filled")
    centred = graph.add("Sub", [filled, graph.constant("mean", mean)], "centred")
    scaled = graph.add("Div", [centred, graph.constant("scale", scale)], "scaled_double")
    curved = _curved(graph, preprocessor.curves, scaled)
    return graph.add("Cast", [curved], "scaled", to=TensorProto.FLOAT)


def _curved(graph: Graph, curves: Curves, scaled: str) -> str:
    """Add the nodes of `Curves.transform` for `scaled`, double [N, components].

    Return the name of the result, double [N, outputs].
    """
    match curves.encoding:
        case NumericEncoding.ROBUST:
            return _clipped(graph, scaled)
        case NumericEncoding.QUANTILE:
            return _interpolated(graph, curves, scaled)
        case NumericEncoding.PIECEWISE:
            return _binned(graph, curves, scaled)
    return scaled


def _clipped(graph: Graph, scaled: str) -> str:
    limits = [graph.constant(f"far_{sign:+}", sign * FAR, np.float64) for sign in (-1, 1)]
    near = graph.add("Clip", [scaled, *limits], "near")
    share = graph.add("Div", [near, graph.constant("clip", CLIP, np.float64)], "clip_share")
    square = graph.add("Mul", [share, share], "clip_square")
    whole = graph.add("Add", [square, graph.constant("clip_one", 1.0, np.float64)], "clip_sum")
    return graph.add("Div", [near, graph.add("Sqrt", [whole], "clip_root")], "clipped")


def _interpolated(graph: Graph, curves: Curves, scaled: str) -> str:
    """Find each number's quantile by binary search, for all numbers at once."""
    lines = curves.lines()
    steps = max(len(knots) for knots, _, _ in lines).bit_length()
    places = 2**steps
    # Of equal length, one component after the other; no number reaches the added knots.
    table = np.full((len(lines), places), np.inf)
    heights, slopes = np.zeros((2, *table.shape))
    for row, (knots, scores, rises) in enumerate(lines):
        table[row, : len(knots)] = knots
        heights[row, : len(knots)] = scores
        slopes[row, : len(knots)] = rises
    tables = {
        name: graph.constant(f"quantile_{name}", values.ravel(), np.float64)
        for name, values in (("knots", table), ("heights", heights), ("slopes", slopes))
    }
    first = graph.constant("quantile_first", table[:, 0], np.float64)
    last = graph.constant("quantile_last", [knots[-1] for knots, _, _ in lines], np.float64)
    inside = graph.add("Max", [scaled, first], "quantile_above")
    inside = graph.add("Min", [inside, last], "quantile_inside")
    place = graph.constant("quantile_start", np.arange(len(lines)) * places, np.int64)
    for step in reversed(range(steps)):
        size = graph.constant(f"quantile_step_{step}", 2**step, np.int64)
        ahead = graph.add("Add", [place, size], f"quantile_ahead_{step}")
        knot = graph.add("Gather", [tables["knots"], ahead], f"quantile_knot_{step}", axis=0)
        is_above = graph.add("GreaterOrEqual", [inside, knot], f"quantile_is_above_{step}")
        place = graph.add("Where", [is_above, ahead, place], f"quantile_place_{step}")
    found = {
        name: graph.add("Gather", [values, place], f"quantile_{name}_found", axis=0)
        for name, values in tables.items()
    }
    beyond = graph.add("Sub", [inside, found["knots"]], "quantile_beyond")
    rise = graph.add("Mul", [beyond, found["slopes"]], "quantile_rise")
    return graph.add("Add", [found["heights"], rise], "quantiles")


def _binned(graph: Graph, curves: Curves, scaled: str) -> str:
    bins = curves.bins()
    owners = graph.constant("bin_owners", bins.owners, np.int64)
    numbers = graph.add("Gather", [scaled, owners], "bin_numbers", axis=1)
    limits = {
        name: graph.constant(f"bin_{name}", values, np.float64)
        for name, values in (
            ("lower", bins.lower),
            ("width", bins.width),
            ("least", bins.least),
            ("most", bins.most),
        )
    }
    above = graph.add("Sub", [numbers, limits["lower"]], "bin_above")
    parts = graph.add("Div", [above, limits["width"]], "bin_parts")
    raised = graph.add("Max", [parts, limits["least"]], "bin_raised")
    return graph.add("Min", [raised, limits["most"]], "bins")


def _indicators(graph: Graph, inputs: Sequence[str]) -> list[str]:
    """Add 1 for a missing cell of each input and 0 for others."""
    if not inputs:
        return []
    cells = graph.side_by_side(list(inputs), "indicated")
    missing = graph.add("IsNaN", [cells], "indicated_missing")
    return [graph.add("Cast", [missing], "indicators", to=TensorProto.FLOAT)]


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
    return graph.add("Concat", blocks, "categories", axis=1)


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
        blocks.append(graph.add("Gather", [table, codes], f"encoded_{number}", axis=0))
    return blocks


def _image(graph: Graph, feature: ImageFeature) -> None:
    pixels = graph.input(feature.name, TensorProto.FLOAT, feature.shape)
    mean = graph.constant("mean", np.array(feature.mean, dtype=np.float32))
    scale = graph.constant("scale", np.array(feature.scale, dtype=np.float32))
    centred = graph.add("Sub", [pixels, mean], "centred")
    scaled = graph.add("Div", [centred, scale], "scaled")
    shape = graph.constant("shape", np.array([-1, *feature.output_shape], dtype=np.int64))
    graph.add("Reshape", [scaled, shape], OUTPUT)
