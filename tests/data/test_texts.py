"""Texts in NumPy, and the same texts in a graph that ONNX Runtime runs."""

import json
import subprocess
import sys
import unicodedata

import numpy as np
import onnxruntime
import pytest

from models.data.columns import MAX_CHARACTERS, ColumnType, measure
from models.data.dataset import Dataset
from models.data.encoding.cross_fitting import MAX_TARGETS, target_columns
from models.data.encoding.ngrams import Search, find_grams, find_letters, fold
from models.data.encoding.onnx_graph import preprocessing_graph
from models.data.encoding.preprocessing import Preprocessor
from models.data.encoding.texts import TextFeature, fit_text

ALL = slice(None)
GOOD = ["a fine film", "Fine acting, fine story", "what a FINE day", "simply fine!", "it is fine…"]
BAD = ["a dull film", "Dull acting, dull story", "what a DULL day", "simply dull!", "it is dull…"]
TEXTS = [
    *GOOD,
    *BAD,
    "Die Straße nach Zürich ist fein",
    "Zürich, Straße: dull",
    "İstanbul çok güzel, fine",
    "東京は良い映画 🚂🚂",
    "東京は悪い映画 😀",
    "fine 😀 😀",
    None,
    "",
]
HOSTILE = [
    *TEXTS,
    "FINE fine FiNe",
    "DULL.dull,dull;dull\n\tdull--dull",
    unicodedata.normalize("NFD", "Zürich Straße İstanbul"),
    "ZÜRICH STRASSE istanbul ISTANBUL ıSTANBUL",
    "ﬁne ｆｉｎｅ ⓕine 𝒻ine",
    "fine\x02\x03fine\u200dfine\u00a0fine\ufeff",
    "👩‍👩‍👧‍👦 🇦🇹 fine",
    "ᄀ\u1161ᆨ 각 \u0301\u0301 \u0301fine",
    " ",
    "!?…—",
    "Ѐ unseen ж letters",
    "fine " * 10_000,
    "x" * 50_000,
    "dull" + " " * MAX_CHARACTERS + "fine",
    "a" * (MAX_CHARACTERS - 4) + " fine dull",
    "a" * (MAX_CHARACTERS - 5) + " fine dull",
]


def texts_of(cells):
    values = np.empty(len(cells), dtype=object)
    values[:] = cells
    return Dataset((measure("t", ColumnType.TEXT, values),), {"t": values})


def targets_of(cells):
    return np.array([float("fine" in (cell or "").lower()) for cell in cells])


def run(preprocessor, cells):
    model = preprocessing_graph(preprocessor)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    raw = np.array([["" if cell is None else cell] for cell in cells], dtype=object)
    return session.run(None, {"t": raw})[0]


@pytest.mark.parametrize(
    ("character", "letter"),
    [
        *[(character, "a") for character in "aAÄáＡª"],
        *[(character, "i") for character in "iIİ"],
        *[(character, "ß") for character in "ßẞ"],
        ("ı", "ı"),
        ("Ж", "ж"),
        ("٣", "٣"),
        ("①", "1"),
        ("東", "東"),
        ("😀", "😀"),
        ("€", "€"),
        *[(character, " ") for character in " \t\n.,!'_-\x02\u0301\u200d"],
    ],
)
def test_letters_have_neither_case_nor_accent(character, letter):
    assert fold(character) == letter


def test_n_grams_are_words_pairs_and_parts_of_words():
    found = find_grams(["not good", "Not Good, 東京"], find_letters(["not good", "東京"]))
    assert found == (
        *(" go", " no", "goo", "not", "od ", "ood", "ot "),
        *(" goo", " not", "good", "not ", "ood "),
        *(" not ", " good ", " not good "),
    )
    assert "東" in find_grams(["東京", "東北"], find_letters(["東京", "東北"]))


def test_the_search_counts_as_text_does():
    cells = [text for text in HOSTILE if text]
    letters = find_letters(cells)
    grams = find_grams(cells, letters)
    counts = Search(letters, grams).count(np.array([*cells, None], dtype=object)).toarray()
    for row, text in enumerate(cells):
        read = "".join(letters.get(character, " ") for character in text[:MAX_CHARACTERS])
        read = f" {read} "
        for place, gram in enumerate(grams[::7]):
            found = sum(read.startswith(gram, start) for start in range(len(read)))
            assert counts[row, 7 * place] == found, (text[:20], gram)
    assert not counts[-1].any()


def test_the_graph_reads_any_text_as_the_preprocessor_does():
    y = targets_of(TEXTS)
    preprocessor = Preprocessor.fit(texts_of(TEXTS), ALL, ["t"], y, seed=3)
    expected = preprocessor.transform(texts_of(HOSTILE), ALL)
    actual = run(preprocessor, HOSTILE)
    assert actual.dtype == expected.dtype == np.float32
    assert actual.shape == expected.shape == (len(HOSTILE), *preprocessor.output_shape)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-6)
    alone = np.concatenate([run(preprocessor, [cell]) for cell in HOSTILE])
    np.testing.assert_allclose(alone, expected, rtol=0, atol=1e-6)


def test_case_accents_and_normal_forms_do_not_matter():
    preprocessor = Preprocessor.fit(texts_of(TEXTS), ALL, ["t"], targets_of(TEXTS))
    spellings = ["Zürich ist FINE", "zurich ist fine", "ZÜRICH ist ﬁne".replace("ﬁ", "FI")]
    outputs = preprocessor.transform(texts_of(spellings), ALL)
    np.testing.assert_array_equal(outputs, outputs[[0, 0, 0]])


def test_words_tell_the_target_and_json_keeps_the_feature():
    cells = [f"{text} {number % 7}" for number in range(20) for text in (*GOOD, *BAD)]
    preprocessor = Preprocessor.fit(texts_of(cells), ALL, ["t"], targets_of(cells))
    outputs = preprocessor.transform(texts_of(["so fine", "so dull", "neither"]), ALL)[:, -1]
    assert outputs[0] > 0.5
    assert outputs[1] < -0.5
    assert abs(outputs[2]) < 0.5
    again = Preprocessor.from_json(json.loads(json.dumps(preprocessor.to_json(), allow_nan=False)))
    assert again == preprocessor


def test_training_rows_do_not_see_their_own_target():
    generator = np.random.default_rng(0)
    words = np.array([f"word{number}" for number in range(150)])
    cells = [" ".join(generator.choice(words, 6)) for _ in range(300)]
    noise = generator.normal(size=300)
    preprocessor, outputs = Preprocessor.fit_transform(texts_of(cells), ALL, ["t"], noise, 1)
    seen = preprocessor.transform(texts_of(cells), ALL)
    assert np.corrcoef(seen[:, -1], noise)[0, 1] > 0.6
    assert abs(np.corrcoef(outputs[:, -1], noise)[0, 1]) < 0.2
    again = Preprocessor.fit_transform(texts_of(cells), ALL, ["t"], noise, 1)[1]
    np.testing.assert_array_equal(again, outputs)
    other = Preprocessor.fit_transform(texts_of(cells), ALL, ["t"], noise, 2)[1]
    assert not np.array_equal(other, outputs)


def test_missing_texts_are_marked_where_some_were_missing():
    cells = ["red apple", "red pear", None, "green apple", "", "green pear"]
    preprocessor = Preprocessor.fit(texts_of(cells), ALL, ["t"], np.arange(6.0))
    assert preprocessor.feature_names[-1] == "t=<missing>"
    np.testing.assert_array_equal(run(preprocessor, cells)[:, -1], [0, 0, 1, 0, 1, 0])
    full = Preprocessor.fit(texts_of(cells), np.array([0, 1, 3, 5]), ["t"], np.arange(4.0))
    assert "t=<missing>" not in full.feature_names


@pytest.mark.parametrize(
    "cells", [["one"], [None, None, None], ["!", "?", "."], ["a b", "a b"], ["x", "y", "z"] * 2]
)
def test_few_and_odd_texts_make_finite_outputs(cells):
    y = np.arange(len(cells), dtype=np.float64)
    preprocessor, outputs = Preprocessor.fit_transform(texts_of(cells), ALL, ["t"], y)
    assert outputs.shape == (len(cells), *preprocessor.output_shape)
    assert outputs.shape[1] > 0
    assert np.isfinite(outputs).all()
    shown = preprocessor.transform(texts_of(HOSTILE), ALL)
    np.testing.assert_allclose(run(preprocessor, HOSTILE), shown, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("classes", "numbers"), [(2, 1), (3, 3), (16, 16), (40, MAX_TARGETS)])
def test_classes_have_a_number_each_up_to_a_bound(classes, numbers):
    y = np.concatenate([np.arange(classes), np.repeat(np.arange(classes), np.arange(classes))])
    columns = target_columns(y)
    assert columns.shape == (len(y), numbers)
    if classes > 2:
        np.testing.assert_array_equal(columns.sum(axis=1), 1)
    if classes > MAX_TARGETS:
        np.testing.assert_array_equal(columns[y == classes - 1].argmax(axis=1), 0)
        np.testing.assert_array_equal(columns[y < classes - MAX_TARGETS].argmax(axis=1), 15)
    cells = [f"class number{label} is here" for label in y]
    preprocessor = Preprocessor.fit(texts_of(cells), ALL, ["t"], y)
    shown = preprocessor.transform(texts_of(cells), ALL)
    np.testing.assert_allclose(run(preprocessor, cells), shown, rtol=0, atol=1e-6)


def test_rows_beyond_those_that_models_are_fitted_to_are_encoded_too(monkeypatch):
    cells = [(*GOOD, *BAD)[number % 10] for number in range(500)]
    monkeypatch.setattr("models.data.encoding.texts._FITTED", (60, 1_000_000))
    feature, outputs = fit_text("t", texts_of(cells).values["t"], targets_of(cells)[:, None], 0)
    assert isinstance(feature, TextFeature)
    assert np.corrcoef(outputs[:, -1], targets_of(cells))[0, 1] > 0.8


def test_a_text_needs_a_target():
    with pytest.raises(ValueError, match="target"):
        Preprocessor.fit(texts_of(TEXTS), ALL, ["t"])


def test_one_long_text_among_many_costs_its_own_memory_alone(tmp_path):
    preprocessor = Preprocessor.fit(texts_of(TEXTS), ALL, ["t"], targets_of(TEXTS))
    path = tmp_path / "model.onnx"
    path.write_bytes(preprocessing_graph(preprocessor).SerializeToString())
    # Padded to the longest text, the request would need 2,000 * 1,000,000 strings.
    code = f"""
import resource, numpy as np, onnxruntime
options = onnxruntime.SessionOptions()
options.log_severity_level = 3
session = onnxruntime.InferenceSession({str(path)!r}, options)
rows = np.array([["x" * 1_000_000], *[["fine"]] * 1_999], dtype=object)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
session.run(None, {{"t": rows}})
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert int(done.stdout) < 300
