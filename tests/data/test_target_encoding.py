"""Categories with more frequent values than places."""

import json

import numpy as np
import onnxruntime
import pytest
from sklearn.model_selection import KFold
from sklearn.preprocessing import TargetEncoder as MeanEncoder

from models.data.columns import ColumnType, measure
from models.data.dataset import Dataset
from models.data.encoding.onnx_graph import preprocessing_graph
from models.data.encoding.preprocessing import Preprocessor
from models.data.encoding.target_encoding import MIN_ROWS, SMOOTHING, fit_encoding

ALL = slice(None)


def categories_of(cells):
    values = np.empty(len(cells), dtype=object)
    values[:] = cells
    return Dataset((measure("c", ColumnType.CATEGORY, values),), {"c": values})


def shops(rows=4000, count=500, seed=0):
    """Values of very different frequency, one of them missing; and a number for each value."""
    generator = np.random.default_rng(seed)
    numbers = np.minimum(generator.exponential(count / 4, rows).astype(int), count - 1)
    cells = [None if number == 3 else f"Geschäft {number}" for number in numbers]
    return cells, generator.normal(size=count)[numbers]


def run(preprocessor, cells):
    session = onnxruntime.InferenceSession(preprocessing_graph(preprocessor).SerializeToString())
    raw = np.array([["" if cell is None else cell] for cell in cells], dtype=object)
    return session.run(None, {"c": raw})[0]


def test_the_mean_is_drawn_to_that_of_all_rows():
    values = np.array(["a"] * 4 + ["b"] * 2 + ["once", None], dtype=object)
    targets = np.array([[1.0], [1.0], [2.0], [2.0], [9.0], [9.0], [4.0], [4.0]])
    feature, crossed = fit_encoding("c", values, targets, seed=0)
    assert feature.values == ("a", "b")
    mean = 4.0
    expected = [
        (6 + SMOOTHING * mean) / (4 + SMOOTHING),
        (18 + SMOOTHING * mean) / (2 + SMOOTHING),
        mean,
        mean,
    ]
    shown = feature.transform(np.array(["a", "b", "once", "never"], dtype=object))[:, 0]
    unit = (shown[1] - shown[0]) / (expected[1] - expected[0])
    np.testing.assert_allclose(shown - shown[0], (np.array(expected) - expected[0]) * unit, 1e-5)
    assert crossed.shape == (8, 1)


def test_training_rows_are_encoded_as_scikit_learn_cross_fits_them():
    cells, y = shops()
    values = categories_of(cells).values["c"]
    counts = {cell: cells.count(cell) for cell in set(cells)}
    grouped = ["rare" if counts[cell] < MIN_ROWS else str(cell) for cell in cells]
    folds = KFold(5, shuffle=True, random_state=7)
    encoder = MeanEncoder(target_type="continuous", smooth=SMOOTHING, cv=folds)
    expected = encoder.fit_transform(np.array(grouped)[:, None], y)[:, 0]
    _, crossed = fit_encoding("c", values, y[:, None], seed=7)
    expected = (expected - expected.mean()) / expected.std()
    np.testing.assert_allclose(crossed[:, 0], expected, rtol=1e-4, atol=1e-5)


def test_a_training_row_does_not_see_its_own_target():
    cells, _ = shops(rows=1500)
    noise = np.random.default_rng(1).normal(size=1500)
    preprocessor, outputs = Preprocessor.fit_transform(categories_of(cells), ALL, ["c"], noise, 1)
    seen = preprocessor.transform(categories_of(cells), ALL)
    assert np.corrcoef(seen[:, -1], noise)[0, 1] > 0.3
    assert np.corrcoef(outputs[:, -1], noise)[0, 1] < 0.1
    again = Preprocessor.fit_transform(categories_of(cells), ALL, ["c"], noise, 1)[1]
    np.testing.assert_array_equal(again, outputs)
    other = Preprocessor.fit_transform(categories_of(cells), ALL, ["c"], noise, 2)[1]
    assert not np.array_equal(other, outputs)


def test_values_beyond_the_places_keep_what_they_say_of_the_target():
    cells, y = shops()
    preprocessor = Preprocessor.fit(categories_of(cells), ALL, ["c"], y)
    (feature,) = preprocessor.categories
    assert preprocessor.columns == ("c",)
    assert preprocessor.feature_names == (*feature.feature_names, "c~0")
    without = np.array([cell not in feature.categories and cell is not None for cell in cells])
    outputs = preprocessor.transform(categories_of(cells), ALL)
    assert without.mean() > 0.3
    assert np.corrcoef(outputs[without, -1], y[without])[0, 1] > 0.8


@pytest.mark.parametrize("classes", [0, 2, 3, 30])
def test_the_graph_encodes_as_the_preprocessor_does(classes):
    cells, numbers = shops()
    y = numbers
    if classes:
        y = np.argsort(np.argsort(numbers)) * classes // len(numbers)
    preprocessor = Preprocessor.fit(categories_of(cells), ALL, ["c"], y)
    assert len(preprocessor.encoded[0].other) == {0: 1, 2: 1, 3: 3, 30: 16}[classes]
    shown = [*cells[:300], None, "", "NA", "never 🚂", "geschäft 5", "x" * 5000]
    expected = preprocessor.transform(categories_of(shown), ALL)
    np.testing.assert_array_equal(run(preprocessor, shown), expected)
    again = Preprocessor.from_json(json.loads(json.dumps(preprocessor.to_json(), allow_nan=False)))
    assert again == preprocessor


@pytest.mark.parametrize(
    ("counts", "is_encoded"),
    [([2] * 63 + [1] * 500, False), ([2] * 64, True), ([1] * 900, False), ([5] * 63, False)],
)
def test_only_columns_that_lose_frequent_values_are_encoded(counts, is_encoded):
    cells = [f"v{number}" for number, count in enumerate(counts) for _ in range(count)]
    y = np.arange(len(cells), dtype=np.float64)
    preprocessor = Preprocessor.fit(categories_of(cells), ALL, ["c"], y)
    assert bool(preprocessor.encoded) is is_encoded
    assert not Preprocessor.fit(categories_of(cells), ALL, ["c"]).encoded


def test_a_document_of_an_older_version_is_read():
    cells = ["a", "b"] * 3
    preprocessor = Preprocessor.fit(categories_of(cells), ALL, ["c"], np.arange(6.0))
    document = preprocessor.to_json()
    del document["encoded"], document["texts"]
    assert Preprocessor.from_json(document) == preprocessor
