"""The tables of the quality bench that the installed packages have."""

import re
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from benchmarks.quality.tables import SPLITS, Table, load, read_tables, split

TABLES = read_tables()
INSTALLED = [table for table in TABLES.values() if table.is_installed]
# The examination: nothing is designed on these.
EXCLUDED = re.compile(
    r"ames|concrete|diamond|mlc_?churn|wa_?churn|hotel|california|bike|adult|bank|german|telco"
    r"|insurance|wine"
)


def test_the_list_is_long_mixed_and_without_the_examination():
    assert len(TABLES) >= 24
    assert {table.task for table in TABLES.values()} == {"regression", "binary", "multiclass"}
    assert len({(table.source, table.item) for table in TABLES.values()}) == len(TABLES)
    for table in TABLES.values():
        assert not EXCLUDED.search(f"{table.name} {table.item}".lower()), table.name
        assert bool(table.drop) == bool(table.why), table.name


@pytest.mark.parametrize("table", INSTALLED, ids=lambda table: table.name)
def test_a_table_loads_without_gaps_in_the_target_and_without_repeated_rows(table):
    frame = load(table, 500)
    target = frame[table.target]
    assert 350 <= len(frame) <= 500
    assert target.notna().all()
    assert not frame.duplicated().any()
    assert not set(table.drop) & set(frame)
    if table.has_classes:
        assert (target.nunique() == 2) == (table.task == "binary")
        assert not target.str.fullmatch(r"[\d.]*").any()
    else:
        assert np.isfinite(target.astype(float)).all()


def test_splits_are_fixed_stratified_and_apart():
    table = TABLES["digits"]
    frame = load(table, 600)
    tests = []
    for number in range(SPLITS):
        case, again = (split(table, frame, number) for _ in range(2))
        pd.testing.assert_frame_equal(case.train, again.train)
        both = pd.concat([case.train, case.test])
        assert len(case.test) == 120
        assert not both.duplicated().any()
        assert case.test["target"].value_counts().min() >= 10
        assert case.classes == sorted(f"class {digit}" for digit in range(10))
        tests.append(set(case.test.itertuples(index=False, name=None)))
    assert all(first != second for first, second in pairwise(tests))


def test_a_table_of_an_absent_package_is_known_as_such():
    assert not Table("x", "no_such_package", "x", "y", "binary", (), "").is_installed
