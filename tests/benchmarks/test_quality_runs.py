"""A contender on a tiny table, kept, read and rendered."""

import json

import numpy as np
import pandas as pd
import pytest

from benchmarks.quality.adapters import Columns
from benchmarks.quality.contenders import CONTENDERS
from benchmarks.quality.fitting import Outcome, run_contender
from benchmarks.quality.rendering import LUTHIER, NothingToShow, render
from benchmarks.quality.results import Results, describe_run
from benchmarks.quality.service import as_csv, as_records, covered_rows
from benchmarks.quality.tables import Case, Table
from benchmarks.quality.variants import VARIANTS
from models.jobs.schema.spec import JobSpecSchema
from models.space.schema import first_trials, load_space

TABLE = Table("flats", "none", "", "rent", "regression", (), "")
CLASSES = Table("types", "none", "", "kind", "multiclass", (), "")


def rows(count, seed):
    generator = np.random.default_rng(seed)
    size = generator.normal(60, 20, count)
    city = generator.choice(["Graz", "Wien", "Linz"], count)
    frame = pd.DataFrame(
        {
            "size": np.where(np.arange(count) % 7 == 3, np.nan, size),
            "city": np.where(np.arange(count) % 9 == 4, None, city),
            "built": pd.Timestamp("1990-01-01") + pd.to_timedelta(np.arange(count) * 90, "D"),
            "has_lift": np.arange(count) % 2 == 0,
        }
    )
    return frame, size * (1 + (city == "Wien"))


@pytest.fixture
def regression():
    parts = [features.assign(rent=rent) for features, rent in (rows(60, 1), rows(20, 2))]
    return Case(TABLE, 0, *parts)


@pytest.fixture
def classification():
    parts = [
        features.assign(kind=np.array(["a", "b", "c"])[np.digitize(rent, [50, 90])])
        for features, rent in (rows(60, 1), rows(20, 2))
    ]
    return Case(CLASSES, 0, *parts)


@pytest.mark.parametrize("name", ["linear", "hist_gradient_boosting", "mlp"])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_an_adapter_takes_gaps_categories_dates_and_values_it_has_not_seen(
    name, regression, classification, tmp_path
):
    for case in (regression, classification):
        x, target, test, _ = case.parts()
        test.loc[0, "city"] = "Bregenz"
        y = target.map({"a": 0, "b": 1, "c": 2}) if case.classes else target
        model = CONTENDERS[name].make(case.table.has_classes, 1)
        model.fit(x, y.to_numpy(), 60.0)
        found = model.predict(test)
        assert np.isfinite(found).all()
        assert found.shape == ((20, 3) if case.classes else (20,))
        assert model.predict(test.iloc[:1]).shape == found[:1].shape
        model.save(tmp_path)
        assert (tmp_path / "model.pickle").stat().st_size > 0


def test_columns_are_numbers_and_categories_of_the_training_rows():
    x = pd.DataFrame({"a b": ["u", None, "v", "v"], "when": pd.to_datetime(["2026-01-31"] * 4)})
    columns = Columns().fit(x)
    found = columns.transform(pd.DataFrame({"a b": ["w", "v"], "when": x["when"].iloc[:2]}))
    assert list(found) == ["c0", "c1", "c2", "c3"]
    assert found["c0"].cat.categories.to_list() == ["v", "u"]
    assert found["c0"].isna().tolist() == [True, False]
    assert found.iloc[0, 1:].tolist() == [20484.0, 1.0, 5.0]


def test_the_service_gets_cells_as_they_are_in_files(regression):
    frame = regression.test[["size", "city", "built", "has_lift"]].iloc[3:5]
    assert as_csv(frame).splitlines()[1].startswith(",")
    assert as_csv(frame).splitlines()[2].split(",")[1:] == ["", "1990-12-27", "True"]
    assert as_records(frame)[0]["size"] is None
    assert as_records(frame)[1] | {"size": 0} == {
        "size": 0,
        "city": None,
        "built": "1990-12-27",
        "has_lift": True,
    }


def test_a_contender_runs_in_a_process_and_is_kept_and_ended(regression, tmp_path):
    path = tmp_path / "runs.jsonl"
    results = Results.read(path)
    results.begin({"command": "the command"})
    done = describe_run(regression, 100, "linear", run_contender("linear", regression, 300.0), 300)
    assert (done["state"], done["reason"]) == ("done", None)
    assert done["error"] < done["baseline"]
    assert min(done["seconds"], done["bytes"], done["row_ms"]) > 0
    results.add(done)
    ended = describe_run(regression, 100, "linear", run_contender("linear", regression, 0.0), 0)
    assert (ended["state"], ended["error"]) == ("ended", ended["baseline"])
    with path.open("a") as file:
        file.write('{"table": "cut o')
    read = Results.read(path)
    assert read.calls == [{"command": "the command"}]
    assert read.runs == [done]
    assert read.find(100, "flats", 0, "linear") == done
    assert read.find(100, "flats", 1, "linear") is None
    read.begin({"command": "the next"})
    assert [line[:9] for line in path.read_text().splitlines()] == [
        '{"call": ',
        '{"table":',
        '{"call": ',
    ]
    assert Results.read(path).runs == [done]


def test_a_contender_that_fails_has_the_error_of_the_baseline(classification):
    broken = Outcome("done", 1.0, np.full((20, 3), np.nan), 5, 1.0)
    run = describe_run(classification, 100, "mlp", broken)
    assert run["state"] == "failed"
    assert run["reason"] == "a prediction is not finite"
    assert (run["error"], run["auc"]) == (run["baseline"], 0.5)


def run(table, split, contender, error, task="regression", request=None, **changes):
    return {
        "table": table,
        "task": task,
        "split": split,
        "max_rows": 100,
        "train_rows": 80,
        "columns": 4,
        "contender": contender,
        "state": "done",
        "reason": None,
        "limit": 9.0,
        "seconds": 8.0,
        "error": error,
        "auc": None if task == "regression" else 0.9,
        "baseline": 5.0,
        "bytes": 2000,
        "row_ms": 3.0,
        "request": request,
    } | changes


def runs(**errors):
    """The errors of contenders on two splits of a regression and one of classes."""
    cases = [("flats", 0, "regression"), ("flats", 1, "regression"), ("types", 0, "binary")]
    return [
        run(*case[:2], name, error, case[2])
        for name, each in errors.items()
        for case, error in zip(cases, each, strict=True)
    ]


def line(page, start):
    (found,) = [each for each in page.splitlines() if each.startswith(f"| {start} |")]
    return [cell.strip() for cell in found.strip("|").split("|")]


def test_a_page_has_ratios_ranks_wins_bars_and_the_errors_of_each_table():
    found = runs(luthier=[1.0, 1.0, 0.5], linear=[2.0, 1.0, 0.4], catboost=[1.5, 1.5, 0.25])
    page = render([], found, [LUTHIER, "linear", "catboost"])
    assert line(page, "**Luthier**")[1:7] == ["1.333", "1.000", "2.000", "2.00", "3.00", "1"]
    assert line(page, "CatBoost")[1:4] == ["1.333", "1.500", "1.000"]
    assert line(page, "flats")[2:6] == ["80", "4", "2", "5"]
    assert line(page, "flats")[6:] == ["**1**", "1.5", "1.5"]
    assert line(page, "error ÷ best at most 1.03")[2] == "**missed**"
    assert line(page, "mean rank first of the neural ones")[1:] == ["1 of 1", "met"]
    assert line(page, "first by log-loss")[1:] == ["3 of 3", "**missed**"]
    assert "Critical difference of mean ranks over 2 tables" in page
    assert "Without runs: HistGradientBoosting" in page


def test_only_splits_that_all_have_run_take_part_and_unrun_contenders_are_left_out():
    found = runs(luthier=[1.0, 1.0, 0.5], linear=[2.0, 1.0, 0.4])[:-1]
    page = render([], found, [LUTHIER, "linear", "catboost"])
    assert line(page, "linear")[1:4] == ["1.500", "1.500", "—"]
    assert "types" not in page
    with pytest.raises(NothingToShow):
        render([], found, [LUTHIER, "catboost"])
    with pytest.raises(NothingToShow):
        render([], [], [LUTHIER])


def test_luthier_with_another_request_is_compared_with_its_default_only():
    found = runs(luthier=[1.0, 1.0, 0.5], linear=[2.0, 1.0, 0.4])
    single = [
        run("flats", split, "single", error, request={"ensemble": 1}, row_ms=1.5)
        for split, error in enumerate([1.1, 1.3])
    ]
    page = render([], found + single, [LUTHIER, "linear"])
    assert line(page, "single")[1:] == [
        '`{"ensemble": 1}`',
        "1",
        "+20.0 %",
        "0 of 1",
        "1.00",
        "0.50",
    ]
    assert line(page, "a row takes at most 3 times as long as with one network")[1:] == [
        "2.00 times",
        "met",
    ]
    assert (
        line(page, "**Luthier**")[1]
        == line(render([], found, [LUTHIER, "linear"]), "**Luthier**")[1]
    )


def test_requests_are_compared_without_other_contenders():
    found = runs(luthier=[1.0, 1.0, 0.5])
    single = run("flats", 0, "single", 0.9, request={"ensemble": 1})
    page = render([], [*found, single], [LUTHIER])
    assert line(page, "single")[3] == "-10.0 %"
    assert "| contender |" not in page


def test_a_page_says_what_the_intervals_hold_and_how_far_off_probabilities_are():
    found = runs(luthier=[1.0, 1.0, 0.5], linear=[2.0, 1.0, 0.4])
    shares = iter([0.8, 0.9, 0.95])
    for each in found:
        if each["contender"] == LUTHIER:
            each["covered"] = next(shares)
        each["ece"] = None if each["task"] == "regression" else 0.0321
    page = render([], found, [LUTHIER, "linear"])
    assert "hold 90.0 % of the test rows in the mean of 2 tables: 85 % to 95 %." in page
    place = line(page, "contender").index("ECE")
    assert line(page, "**Luthier**")[place] == "0.032"


def test_rows_are_covered_by_bounds_or_labels():
    bounds = {"lower": [0.0, 1.0, 2.0], "upper": [1.0, 2.0, 3.0]}
    assert covered_rows(bounds, pd.Series([1.0, 2.5, 2.0])) == 2
    sets = {"labels": [["a", "b"], ["b"], []], "predictions": ["a", "b", "c"]}
    assert covered_rows(sets, pd.Series(["b", "a", "c"])) == 1
    assert covered_rows({"labels": [[1], [True]]}, pd.Series(["1", "False"])) == 1


def test_lines_are_valid_json(tmp_path):
    results = Results.read(tmp_path / "runs.jsonl")
    results.add(run("flats", 0, "linear", 1.0))
    assert [json.loads(each) for each in results.path.read_text().splitlines()] == results.runs


@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_is_a_request_that_differs_from_the_default(name):
    fields = {"model": "flats", "dataset": "ds_1", "target": "rent"}
    schema = JobSpecSchema()
    assert schema.load({**fields, **VARIANTS[name]}) != schema.load(fields)
    if "first trials" in name or name == "none of these":
        space = load_space(VARIANTS[name]["search_space"], "mlp")
        assert not first_trials(space)
