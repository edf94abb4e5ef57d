"""The encodings of numbers and categories against plain references, and inside the graph."""

import json

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.preprocessing import QuantileTransformer

from models.data.encoding.choice import CategoryEncoding, Encoding, NumericEncoding
from models.data.encoding.preprocessing import Preprocessor
from tests.data.test_onnx_graph import SEEN, UNSEEN, assert_parity, table
from tests.files import from_records

ALL = slice(None)
ROBUST = Encoding(NumericEncoding.ROBUST)
QUANTILE = Encoding(NumericEncoding.QUANTILE)
PIECEWISE = Encoding(NumericEncoding.PIECEWISE, bins=4)
TARGET = Encoding(category=CategoryEncoding.TARGET)
EVERY = Encoding(NumericEncoding.QUANTILE, 0, CategoryEncoding.TARGET, missing_indicators=True)
ENCODINGS = [
    ROBUST,
    QUANTILE,
    PIECEWISE,
    Encoding(NumericEncoding.PIECEWISE, bins=64, missing_indicators=True),
    Encoding(missing_indicators=True),
    TARGET,
    EVERY,
]


def numbers(cells):
    return from_records([{"a": cell} for cell in cells], {"a": "number"})


def encoded(cells, encoding, others=None):
    """The outputs of a column fitted to `cells`, of `others` if there are any."""
    fitted = Preprocessor.fit(numbers(cells), ALL, ["a"], encoding=encoding)
    dataset = numbers(cells if others is None else others)
    outputs = fitted.transform(dataset, ALL)
    assert outputs.dtype == np.float32
    assert outputs.shape == (dataset.rows, *fitted.output_shape)
    assert_parity(fitted, dataset)
    return outputs


def test_robust_numbers_are_those_of_realmlp():
    cells = [*np.random.default_rng(0).normal(50, 10, 40).tolist(), 1e6, None]
    filled = np.array([cell if cell is not None else np.nan for cell in cells], dtype=float)
    filled[-1] = np.nanmedian(filled)
    low, middle, high = np.quantile(filled, [0.25, 0.5, 0.75])
    scaled = (filled - middle) / (high - low)
    expected = scaled / np.sqrt(1 + (scaled / 3) ** 2)
    np.testing.assert_allclose(encoded(cells, ROBUST)[:, 0], expected, rtol=1e-6, atol=1e-6)


def test_without_an_interquartile_range_half_the_range_is_the_scale():
    outputs = encoded([0] * 9 + [4], ROBUST)
    np.testing.assert_allclose(outputs[:, 0], [0] * 9 + [2 / np.sqrt(1 + 4 / 9)], rtol=1e-6)


def test_quantiles_are_those_of_scikit_learn():
    cells = np.random.default_rng(0).lognormal(0, 2, 20_000)
    others = np.quantile(cells, np.linspace(0.02, 0.98, 50))
    outputs = encoded(cells.tolist(), QUANTILE, others.tolist())[:, 0]
    reference = QuantileTransformer(
        n_quantiles=256, output_distribution="normal", subsample=None
    ).fit(cells[:, None])
    np.testing.assert_allclose(outputs, reference.transform(others[:, None])[:, 0], atol=0.01)
    whole = encoded(cells.tolist(), QUANTILE)
    assert abs(whole.mean()) < 0.01
    assert whole.std() == pytest.approx(1, abs=0.02)


def test_equal_numbers_have_the_score_of_their_mean_rank():
    outputs = encoded([0, 0, 0, 0, 1, 2, 2, 2], QUANTILE)[:, 0]
    expected = norm.ppf(np.array([2, 2, 2, 2, 4.5, 6.5, 6.5, 6.5]) / 8)
    np.testing.assert_allclose(outputs, expected, rtol=1e-6)
    inside = encoded([0, 0, 0, 0, 1, 2, 2, 2], QUANTILE, [-1e300, 0.5, 1e300, None])[:, 0]
    assert inside[:3] == pytest.approx([expected[0], expected[[0, 4]].mean(), expected[-1]])
    assert inside[3] == pytest.approx(expected[[0, 4]].mean())  # the median is 0.5


def test_bins_are_those_of_the_paper():
    cells = np.random.default_rng(0).gamma(2, 3, 200)
    edges = np.quantile(cells, np.linspace(0, 1, 5))
    others = [*cells[:20].tolist(), float(edges[0] - 3), float(edges[-1] + 5)]
    expected = np.empty((len(others), 4))
    for row, cell in enumerate(others):
        for number in range(4):
            part = (cell - edges[number]) / (edges[number + 1] - edges[number])
            low = part if number == 0 else max(part, 0)
            expected[row, number] = low if number == 3 else min(low, 1)
    outputs = encoded(cells.tolist(), PIECEWISE, others)
    np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-6)


def test_equal_edges_make_one_bin():
    outputs = encoded([0] * 90 + [1] * 10, PIECEWISE)
    assert outputs.tolist() == [[0]] * 90 + [[1]] * 10
    fitted = Preprocessor.fit(numbers([0, 1, 2, 3, 4]), ALL, ["a"], encoding=PIECEWISE)
    assert fitted.feature_names == ("a[0]", "a[1]", "a[2]", "a[3]")


@pytest.mark.parametrize("encoding", [ROBUST, QUANTILE, PIECEWISE], ids=str)
@pytest.mark.parametrize("unit", [1e-30, 1e-12, 1.0, 1e300, 5e307])
def test_numbers_of_any_size_are_encoded_alike(encoding, unit):
    plain = np.random.default_rng(0).uniform(-1, 1, 50)
    expected = encoded(plain.tolist(), encoding)
    outputs = encoded((plain * unit).tolist(), encoding)
    np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("encoding", [ROBUST, QUANTILE, PIECEWISE], ids=str)
def test_constants_empty_columns_and_one_row(encoding):
    for cells in ([5, 5, 5, None], [None, None], [7]):
        np.testing.assert_array_equal(encoded(cells, encoding), np.zeros((len(cells), 1)))
    assert np.isfinite(encoded([5, 5, 5], encoding, [1e30, -1e30, 5.5, None])).all()


def test_an_outlier_leaves_the_other_quantiles_apart():
    cells = [*np.arange(100).tolist(), 1e300]
    for encoding in (QUANTILE, PIECEWISE):
        outputs = encoded(cells, encoding)
        assert np.isfinite(outputs).all()
        assert len(np.unique(outputs[:-1].sum(axis=1))) > 70


def test_missing_cells_of_the_training_rows_are_told():
    cells = {"n": [1.0, None, 3.0], "full": [1, 2, 3], "b": [True, None, False]}
    cells["t"] = ["2024-05-01", None, "2024-05-03"]
    records = [dict(zip(cells, row, strict=True)) for row in zip(*cells.values(), strict=True)]
    types = {"n": "number", "full": "number", "b": "boolean", "t": "datetime"}
    dataset = from_records(records, types)
    fitted = Preprocessor.fit(dataset, ALL, list(cells), encoding=Encoding(missing_indicators=True))
    assert fitted.indicators == ("n", "b", "t")
    assert fitted.feature_names[-3:] == ("n is missing", "b is missing", "t is missing")
    outputs = fitted.transform(dataset, ALL)
    assert outputs[:, -3:].tolist() == [[0] * 3, [1] * 3, [0] * 3]
    assert_parity(fitted, dataset)
    standard = Preprocessor.fit(dataset, ALL, list(cells))
    np.testing.assert_array_equal(outputs[:, :-3], standard.transform(dataset, ALL))


def test_every_category_is_encoded_by_the_target():
    generator = np.random.default_rng(0)
    cells = [("x", "y", None)[place] for place in generator.integers(3, size=300)]
    dataset = from_records([{"c": cell} for cell in cells], {"c": "category"})
    y = np.array([5.0 if cell == "x" else 0.0 for cell in cells]) + generator.normal(size=300)
    fitted, trained = Preprocessor.fit_transform(dataset, ALL, ["c"], y, 0, TARGET)
    assert (fitted.categories, fitted.columns) == ((), ("c",))
    assert trained.shape == (300, 1)
    assert np.corrcoef(trained[:, 0], y)[0, 1] > 0.9
    assert_parity(fitted, from_records([{"c": c} for c in ("x", None, "new", "NA")]))
    with pytest.raises(ValueError, match="give `y`"):
        Preprocessor.fit(dataset, ALL, ["c"], encoding=TARGET)


@pytest.mark.parametrize("encoding", ENCODINGS, ids=str)
@pytest.mark.parametrize("rows", [1, 200])
def test_the_graph_equals_every_encoding(encoding, rows):
    train = table(rows, 0, SEEN)
    y = np.random.default_rng(0).normal(size=rows)
    fitted = Preprocessor.fit(train, ALL, train.names, y, encoding=encoding)
    assert_parity(fitted, train)
    other = table(300, 1, UNSEEN)
    other.values["tiny"][:3] = [1e30, -1e30, 0.0]
    assert_parity(fitted, other)
    assert_parity(fitted, table(1, 2, UNSEEN))
    again = Preprocessor.from_json(json.loads(json.dumps(fitted.to_json(), allow_nan=False)))
    assert again == fitted
    np.testing.assert_array_equal(again.transform(other, ALL), fitted.transform(other, ALL))


def test_documents_of_older_versions_are_standard():
    document = {
        "scaled": [{"name": "a", "type": "number", "fill": [2], "mean": [3], "scale": [2]}],
        "categories": [],
        "image": None,
    }
    fitted = Preprocessor.from_json(document)
    assert fitted.transform(numbers([5, None]), ALL).tolist() == [[1], [-0.5]]
