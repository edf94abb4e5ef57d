"""Any row that was trained on can be predicted, and the graph answers what training saw."""

import csv
import io
import json

import numpy as np
import onnxruntime
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from models.data.columns import ColumnType
from models.data.dataset import Dataset
from models.data.encoding.onnx_graph import preprocessing_graph
from models.data.encoding.preprocessing import Preprocessor, TargetEncoder
from models.data.formats.reading import read_file
from models.data.library.profile import preview
from models.data.preparation.tasks import Task, resolve_features
from models.data.table import ReadOptions
from models.errors import Invalid
from models.networks.families import build
from models.networks.inputs import Inputs
from models.networks.outputs import Outputs
from models.registry.onnx.model import merge
from models.serving.signature import InputColumn, Signature
from models.trials.trainers.keras import forward
from tests.any_table import tables
from tests.files import from_records

TARGET = "the target"
ALL = slice(None)
MISSING = {ColumnType.CATEGORY: None, ColumnType.TEXT: None}
UNSEEN = {
    ColumnType.CATEGORY: "never seen 🚂",
    ColumnType.TEXT: "never seen 🚂",
    ColumnType.BOOLEAN: 1.0,
}


def rows_of(table):
    header, columns = table
    return [dict(zip(header, row, strict=True)) for row in zip(*columns, strict=True)]


def dataset_of(table, types):
    rows = rows_of(table)
    try:
        dataset = from_records([row | {TARGET: n} for n, row in enumerate(rows)], types)
        return dataset, resolve_features(dataset, TARGET)
    except Invalid:
        assume(False)


def with_odd_rows(dataset):
    """The same with a row of missing cells and one of cells that were never seen."""
    values = {}
    for column in dataset.columns:
        cells = dataset.values[column.name]
        more = [MISSING.get(column.type, np.nan), UNSEEN.get(column.type, 12345.0)]
        if column.type is ColumnType.IGNORED:
            more = [None, None]
        values[column.name] = np.concatenate([cells, np.array(more, dtype=cells.dtype)])
    return Dataset(dataset.columns, values)


def instances_of(dataset, features):
    """Rows as a client would send what the service has shown it."""
    rows = json.loads(json.dumps(preview(dataset, dataset.rows), allow_nan=False))
    return [{name: row[name] for name in features} for row in rows]


def signature_of(dataset, features):
    found = map(dataset.column, features)
    columns = tuple(InputColumn(c.name, c.type, c.shape, c.spelling) for c in found)
    unused = frozenset(dataset.names).difference(features)
    return Signature("regression", TARGET, columns, (), {}, unused)


def answers_of(content, signature, instances):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(content, options)
    cells = signature.feed(instances)
    shapes = {item.name: [-1, *item.shape[1:]] for item in session.get_inputs()}
    feed = {name: values.reshape(shapes[name]) for name, values in cells.items()}
    return session.run(None, feed)[0]


def types_of(draw, header):
    kinds = ["number", "category", "boolean", "datetime", "text"]
    return {name: draw(st.sampled_from(kinds)) for name in header if draw(st.booleans())}


@settings(deadline=None, max_examples=40, derandomize=True, database=None)
@given(tables(least=1, unique=True), st.data())
def test_any_row_trained_on_is_preprocessed_alike_when_it_is_predicted(table, data):
    dataset, features = dataset_of(table, types_of(data.draw, table[0]))
    fitted = Preprocessor.fit(dataset, ALL, features, dataset.values[TARGET])
    assert Preprocessor.from_json(json.loads(json.dumps(fitted.to_json()))) == fitted
    shown = with_odd_rows(dataset)
    expected = fitted.transform(shown, ALL)
    content = preprocessing_graph(fitted).SerializeToString()
    answers = answers_of(content, signature_of(dataset, features), instances_of(shown, features))
    # The hour of a moment has passed through text of microseconds.
    np.testing.assert_allclose(answers, expected, rtol=1e-5, atol=1e-5)
    as_sent = answers_of(content, signature_of(dataset, features), rows_of(table))
    np.testing.assert_allclose(as_sent, expected[: len(as_sent)], rtol=1e-6, atol=1e-6)


@settings(deadline=None, max_examples=60, derandomize=True, database=None)
@given(tables(least=2, unique=True))
def test_any_row_of_a_file_is_preprocessed_alike_when_it_is_predicted(table):
    header, columns = table
    written = io.StringIO()
    lines = [
        ["" if cell is None else str(cell) for cell in row] for row in zip(*columns, strict=True)
    ]
    names = [name.strip() or f"unnamed {place}" for place, name in enumerate(header)]
    writer = csv.writer(written, quoting=csv.QUOTE_ALL)
    writer.writerows([[*names, TARGET], *([*line, n] for n, line in enumerate(lines))])
    try:
        read = read_file(written.getvalue().encode(), "table.csv", options=ReadOptions(header=1))
        features = resolve_features(read.dataset, TARGET)
        fitted = Preprocessor.fit(read.dataset, ALL, features)
    except (Invalid, ValueError):
        assume(False)
    assume(read.dataset.rows == len(lines))
    expected = fitted.transform(read.dataset, ALL)
    content = preprocessing_graph(fitted).SerializeToString()
    signature = signature_of(read.dataset, features)
    rows = [dict(zip([*names, TARGET], [*line, "?"], strict=True)) for line in lines]
    np.testing.assert_allclose(answers_of(content, signature, rows), expected, rtol=1e-6, atol=1e-6)
    feed = signature.feed_columns({name: [row[name] for row in rows] for name in names})
    for name, cells in signature.feed(rows).items():
        np.testing.assert_array_equal(feed[name], cells)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@settings(deadline=None, max_examples=2, derandomize=True, database=None)
@given(tables(least=2, unique=True))
def test_any_row_trained_on_is_predicted_as_the_network_has_it(table):
    dataset, features = dataset_of(table, None)
    fitted = Preprocessor.fit(dataset, ALL, features)
    inputs = fitted.transform(with_odd_rows(dataset), ALL)
    assume(np.isfinite(inputs).all() and np.abs(inputs).max() < 100)
    encoder = TargetEncoder.fit(dataset, ALL, TARGET, Task.REGRESSION)
    row = Inputs(fitted.output_shape)
    network = build("mlp", {"units": 4}, row, Outputs.of(Task.REGRESSION), 1)
    shown = instances_of(with_odd_rows(dataset), features)
    content = merge([fitted], encoder, network)
    answers = answers_of(content, signature_of(dataset, features), shown)
    expected = encoder.decode(forward(network, inputs))
    np.testing.assert_allclose(answers[:, 0], expected, rtol=1e-4, atol=1e-4)
