"""The ONNX graph of a version, from raw columns to the answer: made, and run on datasets."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import keras
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, compose, helper, numpy_helper

from models.data.columns import ColumnType
from models.data.dataset import Dataset
from models.data.encoding.features import input_name
from models.data.encoding.onnx_builder import prefixed
from models.data.encoding.onnx_graph import preprocessing_graph
from models.data.encoding.preprocessing import Preprocessor, TargetEncoder
from models.data.preparation.tasks import Task
from models.networks.size import rows_at_once
from models.registry.onnx.network import network_graph

Array = np.ndarray[Any, Any]

_NETWORK = "network/"
SMOOTHING = 1e-4  # of probabilities, before their logarithms are divided by a temperature


def merge(
    preprocessors: Sequence[Preprocessor],
    encoder: TargetEncoder,
    network: keras.Model,
    temperature: float | None = None,
) -> bytes:
    """Join preprocessing, network and decoding into one graph file for any number of rows.

    There is a preprocessor for each input of the network. The graph takes the inputs of
    `preprocess`. Its output is `prediction`, float64 (rows, 1) in
    the target's own units and clipped as `encoder` says, for a regression. Otherwise it is
    `probabilities`, float32 (rows, classes) in the order of `encoder.classes`, at the temperature
    of `models.registry.certainty.temperature`.
    """
    second = network_graph(network)
    _append_decoding(second.graph, encoder)
    if temperature is not None:
        _append_temperature(second.graph, len(encoder.classes), temperature)
    answer = "prediction" if encoder.task is Task.REGRESSION else "probabilities"
    first = preprocess(preprocessors)
    names = [_NETWORK + value.name for value in second.graph.input]
    merged = compose.merge_models(
        first,
        prefixed(second, _NETWORK),
        io_map=list(zip((value.name for value in first.graph.output), names, strict=True)),
        producer_name="luthier",
        producer_version="",
    )
    _name_output(merged, second.graph.output[0].name, answer)
    opsets = {entry.domain: entry.version for entry in merged.opset_import}
    del merged.opset_import[:]
    merged.opset_import.extend(helper.make_opsetid(*opset) for opset in opsets.items())
    for value in (*merged.graph.input, *merged.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "rows"
    onnx.checker.check_model(merged, full_check=True)
    content: bytes = merged.SerializeToString(deterministic=True)
    return content


@dataclass(frozen=True, slots=True)
class OnnxAnswers:
    """Runs a graph of `merge` on rows of a dataset."""

    session: Any  # onnxruntime.InferenceSession

    @classmethod
    def load(cls, content: bytes, threads: int = 0) -> "OnnxAnswers":
        """Load a graph file; 0 threads are as many as there are cores."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        providers = ["CPUExecutionProvider"]
        return cls(onnxruntime.InferenceSession(content, options, providers=providers))

    def __call__(self, dataset: Dataset, rows: Array, features: Sequence[str]) -> Array:
        """Return predictions (rows, 1) in the target's units, or probabilities (rows, classes)."""
        at_once = min(rows_at_once(dataset.column(name).shape) for name in features)
        pieces = [
            self.session.run(None, self._feed(dataset, piece, features))[0]
            for piece in np.split(rows, range(at_once, len(rows), at_once))
        ]
        return np.concatenate(pieces)

    def runner(
        self, dataset: Dataset, rows: Array, features: Sequence[str]
    ) -> Callable[[], object]:
        """Return a function that runs the graph on these rows, whose inputs are made once."""
        return partial(self.session.run, None, self._feed(dataset, rows, features))

    def _feed(self, dataset: Dataset, rows: Array, features: Sequence[str]) -> dict[str, Array]:
        ranks = {item.name: len(item.shape) for item in self.session.get_inputs()}
        cells = {
            input_name(name): _raw(dataset.column(name).type, dataset.values[name][rows])
            for name in features
        }
        # Graphs of older releases take all cells as (rows, 1).
        return {
            name: array[:, None] if array.ndim < ranks[name] else array
            for name, array in cells.items()
        }


def preprocess(preprocessors: Sequence[Preprocessor]) -> onnx.ModelProto:
    """Put graphs of the same raw columns side by side, with an output for each.

    Inputs are those of `preprocessing_graph`: (rows,) for cells, as a table has its columns, but
    (rows, 1) for the cells of a single column, which is a matrix to those who take it.
    """
    is_flat = len({name for each in preprocessors for name in each.columns}) > 1
    first, *others = (preprocessing_graph(each, is_flat) for each in preprocessors)
    known = {value.name for value in first.graph.input}
    for number, other in enumerate(others, 2):
        prefix = f"encoding_{number}/"
        graph = prefixed(other, prefix).graph
        for value, renamed in zip(other.graph.input, graph.input, strict=True):
            if value.name not in known:
                known.add(value.name)
                first.graph.input.append(value)
            first.graph.node.append(helper.make_node("Identity", [value.name], [renamed.name]))
        first.graph.node.extend(graph.node)
        first.graph.initializer.extend(graph.initializer)
        first.graph.output.extend(graph.output)
    return first


def _append_decoding(graph: onnx.GraphProto, encoder: TargetEncoder) -> None:
    """Turn the network's output into the answer."""
    raw = graph.output[0].name
    if encoder.task is Task.REGRESSION:
        # In double: a target such as 1.7e9 ± 10 has no float32 for its own units.
        graph.initializer.append(_scalar("target_mean", encoder.mean, np.float64))
        graph.initializer.append(_scalar("target_scale", encoder.scale, np.float64))
        nodes = [
            helper.make_node("Cast", [raw], ["wide"], to=TensorProto.DOUBLE),
            helper.make_node("Mul", ["wide", "target_scale"], ["scaled"]),
            helper.make_node(
                "Add",
                ["scaled", "target_mean"],
                ["unbounded" if encoder.is_clipped else "prediction"],
            ),
        ]
        if encoder.is_clipped:
            # Not `Max`, which need not keep NaN.
            graph.initializer.append(_scalar("lowest", 0.0, np.float64))
            nodes += [
                helper.make_node("Less", ["unbounded", "lowest"], ["is_below"]),
                helper.make_node("Where", ["is_below", "lowest", "unbounded"], ["prediction"]),
            ]
        output = helper.make_tensor_value_info("prediction", TensorProto.DOUBLE, [None, 1])
    else:
        if encoder.task is Task.BINARY:
            graph.initializer.append(_scalar("whole", 1.0, np.float32))
            nodes = [
                helper.make_node("Sub", ["whole", raw], ["first_class"]),
                helper.make_node("Concat", ["first_class", raw], ["probabilities"], axis=1),
            ]
        else:
            nodes = [helper.make_node("Identity", [raw], ["probabilities"])]
        shape = [None, len(encoder.classes)]
        output = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, shape)
    graph.node.extend(nodes)
    del graph.output[:]
    graph.output.append(output)


def _append_temperature(graph: onnx.GraphProto, classes: int, temperature: float) -> None:
    """Divide the logarithms of smoothed probabilities by the temperature."""
    (output,) = graph.output
    given, output.name = output.name, "calibrated"
    steps = [
        ("Mul", 1 - SMOOTHING),
        ("Add", SMOOTHING / classes),
        ("Log", None),
        ("Mul", 1 / temperature),
    ]
    for number, (operator, constant) in enumerate(steps):
        name, inputs = f"calibration_{number}", [given]
        if constant is not None:
            graph.initializer.append(_scalar(f"{name}/constant", constant, np.float32))
            inputs.append(f"{name}/constant")
        graph.node.append(helper.make_node(operator, inputs, [name]))
        given = name
    graph.node.append(helper.make_node("Softmax", [given], [output.name], axis=-1))


def _scalar(name: str, value: float, kind: Any) -> onnx.TensorProto:
    return numpy_helper.from_array(np.array(value, dtype=kind), name)


def _name_output(model: onnx.ModelProto, name: str, answer: str) -> None:
    """Name the output, which the last node makes, `answer`."""
    last = next(node for node in model.graph.node if _NETWORK + name in node.output)
    last.output[0] = model.graph.output[0].name = answer


def _raw(kind: ColumnType, values: Array) -> Array:
    match kind:
        case ColumnType.CATEGORY | ColumnType.TEXT:
            texts = np.empty(len(values), dtype=object)
            texts[:] = ["" if value is None else value for value in values]
            return texts
        case ColumnType.IMAGE:
            return values.astype(np.float32)
    return values
