import json

import numpy as np
import pytest

from models.data.columns import ColumnType
from models.data.encoding.features import input_name
from models.data.encoding.preprocessing import Preprocessor, TargetEncoder
from models.data.formats.reading import from_arrays
from models.data.preparation.tasks import Task
from models.errors import Invalid
from tests.files import from_records

ALL = slice(None)


def fitted(records, features=None, rows=ALL, types=None):
    dataset = from_records(records, types)
    preprocessor = Preprocessor.fit(dataset, rows, features or dataset.names)
    return preprocessor, preprocessor.transform(dataset, ALL)


def test_numbers_are_imputed_with_the_median_and_standardised():
    preprocessor, outputs = fitted([{"a": 1}, {"a": 2}, {"a": 9}, {"a": None}])
    filled = np.array([1, 2, 9, 2])
    expected = (filled - filled.mean()) / filled.std()
    assert outputs.dtype == np.float32
    np.testing.assert_allclose(outputs[:, 0], expected, rtol=1e-6)
    assert preprocessor.feature_names == ("a",)
    assert preprocessor.output_shape == (1,)


def test_only_the_training_rows_are_learned_from():
    records = [{"a": n, "c": "x" if n < 5 else "later"} for n in range(10)]
    preprocessor, outputs = fitted(records, rows=np.arange(5))
    np.testing.assert_allclose(outputs[:5, 0].mean(), 0, atol=1e-7)
    assert preprocessor.feature_names == ("a", "c=x")
    assert outputs[9].tolist() == pytest.approx([(9 - 2) / np.sqrt(2), 0])


def test_constant_and_missing_columns_become_zero():
    types = {"gone": "number"}
    _, outputs = fitted([{"same": 5, "gone": None}, {"same": 5, "gone": None}], types=types)
    np.testing.assert_array_equal(outputs, np.zeros((2, 2)))
    preprocessor, outputs = fitted([{"a": 0.1}] * 3)
    assert preprocessor.scaled[0].scale == (1.0,)
    np.testing.assert_allclose(outputs, 0, atol=1e-7)


@pytest.mark.parametrize("unit", [1e-300, 1e-12, 1.0, 1.7e9, 1e300, 5e307])
def test_numbers_of_any_size_are_standardised(unit):
    _, outputs = fitted([{"a": unit * n} for n in (1, 2, 3, 1.5)])
    plain = np.array([1, 2, 3, 1.5])
    np.testing.assert_allclose(outputs[:, 0], (plain - plain.mean()) / plain.std(), rtol=1e-6)


def test_close_timestamps_keep_their_differences():
    _, outputs = fitted([{"a": 1.7e9 + n} for n in range(4)])
    np.testing.assert_allclose(
        outputs[:, 0], (np.arange(4) - 1.5) / np.std(np.arange(4)), rtol=1e-6
    )


def test_categories_have_places_for_rare_and_missing():
    records = [{"c": c} for c in ["b", "b", "a", "a", "once", "twin", None, "é", "é"]]
    preprocessor, outputs = fitted(records)
    assert preprocessor.feature_names == ("c=a", "c=b", "c=é", "c=<rare>", "c=<missing>")
    np.testing.assert_array_equal(outputs.argmax(axis=1), [1, 1, 0, 0, 3, 3, 4, 2, 2])
    np.testing.assert_array_equal(outputs.sum(axis=1), 1)
    unseen = from_records([{"c": "new"}, {"c": ""}, {"c": "NA"}], {"c": "category"})
    np.testing.assert_array_equal(preprocessor.transform(unseen, ALL).argmax(axis=1), [3, 4, 4])


def test_an_unseen_value_is_all_zeros_when_nothing_was_rare_or_missing():
    preprocessor, _ = fitted([{"c": "a"}, {"c": "a"}, {"c": "b"}, {"c": "b"}])
    unseen = from_records([{"c": "new"}, {"c": None}])
    np.testing.assert_array_equal(preprocessor.transform(unseen, ALL), np.zeros((2, 2)))


def test_a_category_has_at_most_64_places_besides_missing():
    records = [{"c": f"v{n}"} for n in range(100) for _ in range(1 + (n < 70) + (n < 50))]
    preprocessor, outputs = fitted(records, types={"c": "category"})
    assert outputs.shape[1] == 64
    assert {f"v{n}" for n in range(50)} <= set(preprocessor.categories[0].categories)
    _, outputs = fitted([{"c": None}, {"c": None}], types={"c": "category"})
    np.testing.assert_array_equal(outputs, [[1], [1]])


def test_datetimes_become_calendar_parts():
    preprocessor, outputs = fitted([{"t": "2024-05-01"}, {"t": "2023-05-01T12:00"}, {"t": None}])
    assert preprocessor.feature_names == ("t.year", "t.month", "t.day", "t.weekday", "t.hour")
    assert outputs.shape == (3, 5)
    assert outputs[0, 0] > outputs[1, 0]
    np.testing.assert_array_equal(outputs[:, 1:3], np.zeros((3, 2)))
    np.testing.assert_allclose(outputs[2], np.zeros(5), atol=1e-6)


def test_outputs_are_scaled_columns_then_categories():
    records = [{"c": "x", "n": 1, "b": True}, {"c": "x", "n": 2, "b": False}]
    preprocessor, outputs = fitted(records, ["c", "b", "n"])
    assert preprocessor.columns == ("b", "n", "c")
    assert preprocessor.feature_names == ("b", "n", "c=x")
    np.testing.assert_allclose(outputs, [[1, -1, 1], [-1, 1, 1]])


@pytest.mark.parametrize("shape", [(5, 3), (5, 3, 2)])
def test_images_are_standardised_as_a_whole(shape):
    pixels = np.random.default_rng(0).integers(0, 256, (3000, *shape))
    dataset = from_arrays(pixels, np.arange(3000) % 2)
    rows = np.arange(2500)
    preprocessor = Preprocessor.fit(dataset, rows, ["x"])
    outputs = preprocessor.transform(dataset, ALL)
    assert outputs.dtype == np.float32
    assert outputs.shape == (3000, 5, 3, shape[2] if len(shape) == 3 else 1)
    assert preprocessor.output_shape == outputs.shape[1:]
    train = pixels[rows]
    expected = (pixels - train.mean()) / train.std()
    np.testing.assert_allclose(outputs.reshape(pixels.shape), expected, rtol=1e-4, atol=1e-5)
    black = from_arrays(np.zeros((4, 2, 2)), [0, 1, 0, 1])
    assert not Preprocessor.fit(black, ALL, ["x"]).transform(black, ALL).any()


def test_json_keeps_the_preprocessor_exactly():
    generator = np.random.default_rng(0)
    records = [
        {"n": generator.normal(), "c": f"c{n % 7}", "t": f"20{n + 10}-01-0{n % 9 + 1}", "b": n > 9}
        for n in range(20)
    ]
    preprocessor, outputs = fitted(records)
    again = Preprocessor.from_json(json.loads(json.dumps(preprocessor.to_json(), allow_nan=False)))
    assert again == preprocessor
    np.testing.assert_array_equal(again.transform(from_records(records), ALL), outputs)
    images = from_arrays(generator.normal(size=(9, 2, 2)), np.arange(9))
    image = Preprocessor.fit(images, ALL, ["x"])
    assert Preprocessor.from_json(json.loads(json.dumps(image.to_json()))) == image


def test_input_names_never_meet_the_names_of_the_graph():
    columns = ["age", "features", "column/features", "column/column/features", "preprocessing/x"]
    names = [input_name(column) for column in columns]
    assert names[0] == "age"
    assert len({*names, "features", "prediction", "probabilities"}) == len(names) + 3
    assert all(name == "age" or name.startswith("column/") for name in names)


def test_regression_targets_are_standardised_and_given_back():
    values = np.array([100.0, 300.0, 500.0, 9000.0])
    dataset = from_arrays(np.zeros(4), values)
    encoder = TargetEncoder.fit(dataset, np.arange(3), "y", Task.REGRESSION)
    encoded = encoder.encode(values)
    assert encoded.dtype == np.float32
    np.testing.assert_allclose(encoded[:3].mean(), 0, atol=1e-7)
    np.testing.assert_allclose(encoder.decode(encoded.reshape(-1, 1)), values, rtol=1e-6)
    same = TargetEncoder.fit(dataset, np.array([0]), "y", Task.REGRESSION)
    assert (same.mean, same.scale) == (100, 1)


@pytest.mark.parametrize(
    ("targets", "classes"),
    [
        (["b", "é", "a", "b"], ["a", "b", "é"]),
        ([True, False, True, True], [False, True]),
        ([7, -1, 7, 3], [-1, 3, 7]),
    ],
)
def test_classes_are_sorted_labels_in_json_types(targets, classes):
    dataset = from_records([{"y": target} for target in targets])
    encoder = TargetEncoder.fit(dataset, np.arange(1), "y", Task.MULTICLASS)
    assert list(encoder.classes) == classes
    assert {type(label) for label in encoder.classes} == {type(classes[0])}
    encoded = encoder.encode(dataset.values["y"])
    assert encoded.dtype == np.int64
    assert encoder.decode(encoded).tolist() == targets
    assert TargetEncoder.from_json(json.loads(json.dumps(encoder.to_json()))) == encoder


def test_a_value_that_is_no_class_is_refused():
    encoder = TargetEncoder(Task.BINARY, ("a", "b"))
    with pytest.raises(Invalid, match=r"^target: 'c' is not one of the 2 classes"):
        encoder.encode(np.array(["a", "c"], dtype=object))


def test_a_million_rows_are_transformed():
    generator = np.random.default_rng(0)
    rows = 1_000_000
    dataset = from_arrays(generator.normal(size=(rows, 2)), generator.choice(["a", "b"], rows))
    assert dataset.column("y").type is ColumnType.CATEGORY
    preprocessor = Preprocessor.fit(dataset, ALL, ("x0", "x1", "y"))
    assert preprocessor.transform(dataset, ALL).shape == (rows, 4)
