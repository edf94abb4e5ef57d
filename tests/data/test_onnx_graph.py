import numpy as np
import onnx
import onnxruntime
import pytest

from models.data.columns import ColumnType
from models.data.datetimes import expand
from models.data.formats.reading import from_arrays, from_records
from models.data.preparation.features import input_name
from models.data.preparation.onnx_graph import preprocessing_graph
from models.data.preparation.preprocessing import Preprocessor

ALL = slice(None)


def feed(dataset, preprocessor):
    """Raw columns in the forms that the graph's docstring gives."""
    inputs = {}
    for name in preprocessor.columns:
        values = dataset.values[name]
        column_type = dataset.column(name).type
        if column_type is ColumnType.CATEGORY:
            texts = [[value if value is not None else ""] for value in values]
            inputs[input_name(name)] = np.array(texts, dtype=object)
        elif column_type is ColumnType.DATETIME:
            inputs[input_name(name)] = expand(values)
        elif column_type is ColumnType.IMAGE:
            inputs[input_name(name)] = values.astype(np.float32)
        else:
            inputs[input_name(name)] = values.reshape(-1, 1)
    return inputs


def assert_parity(preprocessor, dataset):
    model = preprocessing_graph(preprocessor)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    (outputs,) = session.run(["features"], feed(dataset, preprocessor))
    expected = preprocessor.transform(dataset, ALL)
    assert outputs.dtype == np.float32
    assert outputs.shape == expected.shape == (dataset.rows, *preprocessor.output_shape)
    np.testing.assert_array_equal(outputs, expected)


def table(rows: int, seed: int, categories: list[str | None]):
    generator = np.random.default_rng(seed)
    gaps = generator.random((rows, 6)) < 0.2
    records = [
        {
            "features": 1.7e9 + n,
            "tiny": generator.normal() * 1e-12,
            "größe (cm)": generator.normal() * 1e30,
            "flag": bool(generator.integers(2)),
            "when": f"20{generator.integers(10, 99)}-0{generator.integers(1, 9)}-11T0{n % 9}:30:01",
            "city": generator.choice(np.array(categories, dtype=object)),
            "tag": "xy"[generator.integers(2)],
        }
        for n in range(rows)
    ]
    names = ["features", "tiny", "größe (cm)", "flag", "when", "city"]
    for record, row in zip(records, gaps, strict=True):
        record.update({name: None for name, gap in zip(names, row, strict=True) if gap})
    types = dict.fromkeys(names[:3], "number")
    types |= {"city": "category", "flag": "boolean", "when": "datetime"}
    return from_records(records, types)


SEEN = ["東京", "Zürich", "a b", "=", None, "🚂", "once"]
UNSEEN = [*SEEN, "new", "NEW", "NA", "zürich", "x" * 500]


@pytest.mark.parametrize("rows", [1, 2, 200])
def test_the_graph_equals_the_preprocessor(rows):
    train = table(rows, 0, SEEN)
    preprocessor = Preprocessor.fit(train, ALL, train.names)
    assert_parity(preprocessor, train)
    assert_parity(preprocessor, table(300, 1, UNSEEN))
    assert_parity(preprocessor, table(1, 2, UNSEEN))
    again = Preprocessor.from_json(preprocessor.to_json())
    assert_parity(again, table(50, 3, UNSEEN))


@pytest.mark.parametrize("column", ["features", "flag", "when", "city"])
def test_a_single_column_of_each_type_makes_a_graph(column):
    train = table(40, 0, SEEN)
    assert_parity(Preprocessor.fit(train, ALL, [column]), table(40, 1, UNSEEN))


def test_categories_without_places_for_rare_or_missing():
    train = from_records([{"a": "x", "b": "only"}, {"a": "x", "b": "once"}] * 1)
    preprocessor = Preprocessor.fit(train, ALL, train.names)
    assert preprocessor.feature_names == ("a=x", "b=<rare>")
    assert_parity(preprocessor, from_records([{"a": "new", "b": None}, {"a": None, "b": "only"}]))


def test_constant_columns_and_columns_without_a_value():
    train = from_records([{"a": 5, "b": None, "c": None}] * 3, {"b": "number", "c": "category"})
    preprocessor = Preprocessor.fit(train, ALL, train.names)
    types = {"b": "number", "c": "category"}
    assert_parity(preprocessor, from_records([{"a": 7, "b": 2, "c": "x"}, {"a": None}], types))


@pytest.mark.parametrize("shape", [(4, 3), (4, 3, 3)])
@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_images(shape, kind):
    pixels = (np.random.default_rng(0).random((20, *shape)) * 255).astype(kind)
    dataset = from_arrays(pixels, np.arange(20))
    assert_parity(Preprocessor.fit(dataset, np.arange(15), ["x"]), dataset)


def test_the_model_declares_raw_inputs_and_standard_opsets():
    train = table(30, 0, SEEN)
    model = preprocessing_graph(Preprocessor.fit(train, ALL, ["city", "when", "tiny"]))
    onnx.checker.check_model(model, full_check=True)
    assert {item.domain: item.version for item in model.opset_import} == {"": 18, "ai.onnx.ml": 3}
    session = onnxruntime.InferenceSession(model.SerializeToString())
    inputs = {item.name: (item.type, item.shape) for item in session.get_inputs()}
    assert inputs == {
        "city": ("tensor(string)", ["N", 1]),
        "when": ("tensor(double)", ["N", 5]),
        "tiny": ("tensor(double)", ["N", 1]),
    }
