"""From runs to tables in Markdown."""

import json
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.quality import ranking
from benchmarks.quality.contenders import CONTENDERS

LUTHIER = "luthier"
NONE = "—"

_COLUMNS = (
    *("table", "task", "split", "train_rows", "columns", "contender", "request", "state"),
    *("seconds", "error", "auc", "ece", "covered", "baseline", "bytes", "row_ms", "max_rows"),
)

Array = np.ndarray[Any, Any]


class NothingToShow(Exception):
    """No split of a table has runs of two contenders."""


def render(
    calls: Sequence[Mapping[str, Any]], runs: Sequence[Mapping[str, Any]], names: Sequence[str]
) -> str:
    """Return the page of runs: contenders, tables, bars, and Luthier with other requests.

    `names` are the contenders to compare; those without runs are left out. Only splits of tables
    that all the others have run take part. Without two contenders there are only Luthier's other
    requests. Raises NothingToShow if there are none either.
    """
    frame = pd.DataFrame(runs, columns=_COLUMNS)
    there = set(frame["contender"]) if len(frame) else set()
    shown = [name for name in names if name in there]
    errors = _pivot(frame, "error", shown) if shown else pd.DataFrame()
    frame = frame.set_index(["table", "split", "contender"])
    parts = []
    if len(shown) >= 2 and not errors.empty:
        parts = [
            _contenders(frame, errors),
            _coverage(frame),
            _tables(frame, errors),
            _bars(frame, errors),
        ]
    parts.append(_variants(frame))
    if not any(parts):
        raise NothingToShow("Tables need two contenders with runs on the same splits.")
    return "\n\n".join(part for part in (*parts, _notes(calls, frame, errors)) if part) + "\n"


def _pivot(frame: pd.DataFrame, column: str, names: Sequence[str]) -> pd.DataFrame:
    """Return a column by (table, split) and contender, of the cases that all have."""
    wanted = frame[frame["contender"].isin(names)]
    found = wanted.pivot(index=["table", "split"], columns="contender", values=column)
    return found[list(names)].dropna()


def by_table(errors: pd.DataFrame) -> pd.DataFrame:
    """Return the mean error of each table over its splits."""
    return errors.groupby(level="table", sort=False).mean()


def _of_kind(frame: pd.DataFrame, errors: pd.DataFrame, is_regression: bool) -> pd.DataFrame:
    tasks = frame["task"].groupby("table").first()
    wanted = (tasks == "regression") == is_regression
    return errors[errors.index.get_level_values("table").map(wanted).astype(bool)]


def _mean_ratio(errors: pd.DataFrame) -> Array:
    if errors.empty:
        return np.full(errors.shape[1], np.nan)
    return np.asarray(ranking.ratios(errors.to_numpy()).mean(axis=0))


def _ranks(errors: pd.DataFrame) -> Array:
    if errors.empty:
        return np.full(errors.shape[1], np.nan)
    return ranking.mean_ranks(by_table(errors).to_numpy())


def _contenders(frame: pd.DataFrame, errors: pd.DataFrame) -> str:
    regressions, classes = (_of_kind(frame, errors, each) for each in (True, False))
    means = by_table(errors).to_numpy()
    figures = pd.DataFrame(
        {
            "error ÷ best": _mean_ratio(errors),
            "regression": _mean_ratio(regressions),
            "classes": _mean_ratio(classes),
            "mean rank": _ranks(errors),
            "rank by log-loss": _ranks(classes),
            "wins": ranking.wins(means),
            "AUC": [_column(frame, errors, name, "auc").mean() for name in errors],
            "ECE": [_column(frame, errors, name, "ece").mean() for name in errors],
            "seconds": [_column(frame, errors, name, "seconds").median() for name in errors],
            "KB": [_column(frame, errors, name, "bytes").median() / 1000 for name in errors],
            "ms a row": [_column(frame, errors, name, "row_ms").median() for name in errors],
            "ended": [_count(frame, errors, name, "ended") for name in errors],
            "failed": [_count(frame, errors, name, "failed") for name in errors],
        },
        index=list(errors),
    ).sort_values("mean rank")
    forms = ["{:.3f}"] * 3 + ["{:.2f}"] * 2 + ["{:.0f}"] + ["{:.3f}"] * 2
    forms += ["{:.1f}", "{:.0f}", "{:.1f}", "{:.0f}", "{:.0f}"]
    rows = [
        [_title(str(name)), *(_show(form, x) for form, x in zip(forms, line, strict=True))]
        for name, line in zip(figures.index, figures.to_numpy(float), strict=True)
    ]
    text = _markdown(["contender", *figures], rows)
    p = ranking.friedman(means)
    if p is None or len(means) < 2:
        return text
    distance = ranking.critical_difference(errors.shape[1], len(means))
    return (
        f"{text}\n\nFriedman test: p = {p:.2g}. Critical difference of mean ranks over"
        f" {len(means)} tables (Nemenyi, 5 %): {distance:.2f}."
    )


def _coverage(frame: pd.DataFrame) -> str:
    """Say how many test rows Luthier's intervals of 90 % hold, over the tables."""
    if LUTHIER not in frame.index.get_level_values("contender"):
        return ""
    covered = pd.to_numeric(frame.xs(LUTHIER, level="contender")["covered"]).dropna()
    if covered.empty:
        return ""
    means = covered.groupby(level="table").mean()
    return (
        f"Luthier's 90 % intervals and label sets hold {100 * means.mean():.1f} % of the test rows"
        f" in the mean of {len(means)} tables: {100 * means.min():.0f} % to"
        f" {100 * means.max():.0f} %."
    )


def _column(frame: pd.DataFrame, errors: pd.DataFrame, name: str, column: str) -> pd.Series:
    """Return a column of a contender's runs on the cases that take part."""
    runs = frame.xs(name, level="contender")
    return pd.to_numeric(runs[column].reindex(errors.index)).dropna()


def _count(frame: pd.DataFrame, errors: pd.DataFrame, name: str, state: str) -> int:
    runs = frame.xs(name, level="contender")
    return int((runs["state"].reindex(errors.index) == state).sum())


def _tables(frame: pd.DataFrame, errors: pd.DataFrame) -> str:
    about = frame.groupby("table", sort=False).first()
    splits = errors.groupby(level="table").size()
    baselines = frame["baseline"].groupby(level="table").mean()
    rows = []
    for table, line in by_table(errors).iterrows():
        best = line.min()
        cells = [f"**{x:.4g}**" if x == best else f"{x:.4g}" for x in line]
        facts = about.loc[table]
        sizes = [f"{facts['train_rows']:,}", str(facts["columns"]), str(splits[table])]
        rows.append([str(table), facts["task"], *sizes, f"{baselines[table]:.4g}", *cells])
    head = ["table", "task", "training rows", "columns", "splits", "baseline"]
    return _markdown([*head, *(_title(name) for name in errors)], rows)


def _bars(frame: pd.DataFrame, errors: pd.DataFrame) -> str:
    """Return what is asked of Luthier, and whether it is reached."""
    if LUTHIER not in errors:
        return ""
    names = list(errors)
    place = names.index(LUTHIER)
    ratio, ranks = _mean_ratio(errors), _ranks(errors)
    log_loss = _ranks(_of_kind(frame, errors, is_regression=False))
    neural = [n for n, each in enumerate(names) if each == LUTHIER or CONTENDERS[each].is_neural]
    others = [x for x, name in zip(ratio, names, strict=True) if name not in (LUTHIER, "catboost")]
    own = frame.xs(LUTHIER, level="contender").loc[errors.index]
    small = own[own["train_rows"] <= 5000]["seconds"]
    bars = [
        ("error ÷ best at most 1.03", f"{ratio[place]:.3f}", ratio[place] <= 1.03),
        (
            "and below all but CatBoost",
            f"{min(others):.3f} is the next" if others else NONE,
            ratio[place] < min(others) if others else None,
        ),
        (
            "mean rank first of the neural ones",
            f"{_position(ranks[neural], neural.index(place))} of {len(neural)}",
            _position(ranks[neural], neural.index(place)) == 1,
        ),
        (
            "mean rank first or second of all",
            f"{_position(ranks, place)} of {len(names)}",
            _position(ranks, place) <= 2,
        ),
        _first_by_log_loss(log_loss, place),
        (
            "jobs of up to 5,000 rows within 90 s",
            f"{small.max():.0f} s at most" if len(small) else NONE,
            bool(small.max() <= 90) if len(small) else None,
        ),
        _latency(frame),
    ]
    verdicts = {None: "not measured", True: "met", False: "**missed**"}
    rows = [[bar, value, verdicts[None if met is None else bool(met)]] for bar, value, met in bars]
    return _markdown(["bar", "measured", ""], rows)


def _first_by_log_loss(ranks: Array, place: int) -> tuple[str, str, bool | None]:
    if np.isnan(ranks).any():
        return "first by log-loss", NONE, None
    position = _position(ranks, place)
    return "first by log-loss", f"{position} of {len(ranks)}", position == 1


def _latency(frame: pd.DataFrame) -> tuple[str, str, bool | None]:
    """Compare the latency of the default with that of a single network on the same splits."""
    bar = "a row takes at most 3 times as long as with one network"
    single = [
        str(name)
        for name, runs in frame.groupby("contender")
        if (runs["request"].iloc[0] or {}).get("ensemble") == 1
    ]
    if not single:
        return bar, NONE, None
    both = frame["row_ms"].unstack("contender")[[LUTHIER, single[0]]].dropna()
    if both.empty:
        return bar, NONE, None
    times = float((both[LUTHIER] / both[single[0]]).median())
    return bar, f"{times:.2f} times", times <= 3


def _position(ranks: Array, place: int) -> int:
    return int((ranks < ranks[place]).sum()) + 1


def _variants(frame: pd.DataFrame) -> str:
    """Compare Luthier with its default request to each other one, on the splits that both have."""
    errors = frame["error"].unstack("contender")
    if LUTHIER not in errors:
        return ""
    rows = []
    for name in errors.columns.difference([LUTHIER, *CONTENDERS], sort=False):
        both = errors[[LUTHIER, name]].dropna()
        if both.empty:
            continue
        means = by_table(both)
        change = means[name] / means[LUTHIER]
        runs = frame.xs(name, level="contender").loc[both.index]
        own = frame.xs(LUTHIER, level="contender").loc[both.index]
        rows.append(
            [
                name,
                f"`{textwrap.shorten(json.dumps(runs['request'].iloc[0]), 60, placeholder='…')}`",
                str(len(means)),
                f"{100 * (change.mean() - 1):+.1f} %",
                f"{(change < 1).sum()} of {len(means)}",
                f"{(runs['seconds'] / own['seconds']).median():.2f}",
                f"{(runs['row_ms'] / own['row_ms']).median():.2f}",
            ]
        )
    head = ["Luthier as", "request", "tables", "error", "better on", "× seconds", "× ms a row"]
    return _markdown(head, rows) if rows else ""


def _notes(calls: Sequence[Mapping[str, Any]], frame: pd.DataFrame, errors: pd.DataFrame) -> str:
    """Return the command and the machine of the last call, and what was not installed."""
    lines = []
    if calls:
        call = calls[-1]
        machine = call["machine"]
        libraries = ", ".join(f"{name} {found}" for name, found in machine["libraries"].items())
        lines = [
            f"`{call['command']}`, {call['date']}, revision {call['revision']}.",
            f"{machine['cpu']}, {machine['cores']} cores (load {machine['load']} at the start),"
            f" {machine['memory_gib']} GiB,"
            f" Python {machine['python']}, {libraries}.",
        ]
    absent = [CONTENDERS[name].title for name in CONTENDERS if name not in errors]
    if absent:
        lines.append(f"Without runs: {', '.join(absent)}.")
    rows = frame["max_rows"].max()
    lines.append(
        f"{len(errors)} splits of {len(by_table(errors))} tables of at most {rows:,} rows."
    )
    return "\n".join(lines)


def _title(name: str) -> str:
    if name == LUTHIER:
        return "**Luthier**"
    return CONTENDERS[name].title if name in CONTENDERS else name


def _show(form: str, value: float) -> str:
    return NONE if np.isnan(value) else form.format(value)


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
