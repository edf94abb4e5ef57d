import numpy as np
import onnx
import onnxruntime
import pytest

from models.data.columns import Column, ColumnType
from models.data.dataset import Dataset
from models.data.datetimes import END, FIRST, parse_iso
from models.data.encoding.features import ScaledFeature, components, input_name
from models.data.encoding.onnx_graph import preprocessing_graph
from models.data.encoding.preprocessing import Preprocessor
from models.data.formats.reading import from_arrays
from tests.files import from_records

ALL = slice(None)


def feed(dataset, preprocessor):
    """Raw columns in the forms that the graph's docstring gives."""
    inputs = {}
    for name in preprocessor.columns:
        values = dataset.values[name]
        column_type = dataset.column(name).type
        if column_type.is_text:
            texts = [[value if value is not None else ""] for value in values]
            inputs[input_name(name)] = np.array(texts, dtype=object)
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


def moments(**columns):
    """A dataset of datetimes, in seconds since 1970."""
    described = tuple(Column(name, ColumnType.DATETIME, 0, 2) for name in columns)
    return Dataset(described, {name: np.array(cells) for name, cells in columns.items()})


DAY = 86400.0
EDGES = [
    *(
        parse_iso(f"{year:04}-{day}")
        for year in (1, 4, 100, 1600, 1900, 1969, 1970, 2000, 9999)
        for day in ("01-01", "02-28", "03-01", "12-31")
    ),
    *(parse_iso(f"{year:04}-02-29") for year in (4, 400, 1600, 1968, 2000, 2024, 9996)),
    FIRST,
    np.nextafter(END, 0),
    0.0,
    -0.0,
    -1e-6,
    -DAY,
    1e-6 - DAY,
]


def test_the_calendar_is_that_of_the_preprocessor_to_the_last_bit():
    generator = np.random.default_rng(0)
    days = np.arange(FIRST, END, 97 * DAY)
    cells = np.concatenate(
        [
            EDGES,
            np.nextafter(EDGES, -np.inf).clip(FIRST),
            days,
            days + DAY - 1e-6,
            generator.uniform(FIRST, END, 20_000),
            [np.nan],
        ]
    )
    dataset = moments(when=cells, then=cells[::-1].copy())
    # Neither scaled nor rounded to float32, so that each part is compared as it is.
    fitted = Preprocessor.fit(dataset, ALL, ["when", "then"])
    model = preprocessing_graph(fitted)
    parts = onnx.helper.make_tensor_value_info(
        "preprocessing/calendar", onnx.TensorProto.DOUBLE, None
    )
    model.graph.output.append(parts)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    (actual,) = session.run(["preprocessing/calendar"], feed(dataset, fitted))
    expected = np.hstack(
        [components(ColumnType.DATETIME, dataset.values[name]) for name in ("when", "then")]
    )
    np.testing.assert_array_equal(actual, expected)
    assert_parity(fitted, dataset)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("0001-01-01", [1, 1, 1, 0, 0.0]),
        ("1900-02-28T18:45", [1900, 2, 28, 2, 18.75]),
        ("1969-12-31T23:30", [1969, 12, 31, 2, 23.5]),
        ("2000-02-29T12:00", [2000, 2, 29, 1, 12.0]),
        ("9999-12-31", [9999, 12, 31, 4, 0.0]),
    ],
)
def test_the_graph_knows_the_calendar(text, parts):
    unscaled = ScaledFeature("at", ColumnType.DATETIME, (0.0,) * 5, (0.0,) * 5, (1.0,) * 5)
    fitted = Preprocessor((unscaled,))
    session = onnxruntime.InferenceSession(preprocessing_graph(fitted).SerializeToString())
    (answer,) = session.run(None, {"at": [[parse_iso(text)]]})
    assert answer.tolist() == [parts]


def test_years_outside_the_calendar_of_the_files_agree_too():
    far = moments(when=[FIRST - 60 * 366 * DAY, END + 60 * 366 * DAY])
    assert_parity(Preprocessor.fit(far, ALL, ["when"]), far)


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
        "when": ("tensor(double)", ["N", 1]),
        "tiny": ("tensor(double)", ["N", 1]),
    }
