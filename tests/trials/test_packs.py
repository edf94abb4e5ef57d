"""A pack of networks gives each the answers that it would have alone, and those of Keras."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import tensorflow as tf

from models.data.preparation.tasks import Task
from models.networks.outputs import Outputs
from models.trials.packs.dropout import epoch_key, factors
from models.trials.packs.sorting import sort_into_packs
from models.trials.packs.trainer import PackTrainer
from models.trials.packs.work import Work
from models.trials.spec import EarlyStopping
from models.trials.trainers.base import Run, TrainingData
from models.trials.trainers.keras import KerasTrainer
from models.trials.trainers.numpy.trainer import NumpyTrainer
from tests.trials import alike

# Rounding of float32 over 15 steps: 4e-6 was measured.
CLOSE = {"rtol": 2e-5, "atol": 1e-5}

GENERATOR = np.random.default_rng(0)
X = GENERATOR.normal(size=(50, 4)).astype(np.float32)
Y = np.sin(X @ np.array([1.0, -2.0, 0.5, 1.0])).astype(np.float32)
VALUES = {"num_layers": 2, "batch_size": 8, "learning_rate": 0.01}
# Networks that differ in all that may differ inside a pack.
WIDTHS = [[16, 9], [5, 20], [11, 11]]


def data(task=Task.REGRESSION, rows=37, features=4, **options):
    bounds = {Task.BINARY: [0], Task.MULTICLASS: [-0.5, 0.5]}
    y = Y if task is Task.REGRESSION else np.digitize(Y, bounds[task])
    x = X[:, :features]
    scale = 20.0 if task is Task.REGRESSION else 1.0
    # 37 rows leave five for the last batch of eight.
    return TrainingData(x[:rows], y[:rows], x[37:], y[37:], Outputs.of(task, 3), scale, **options)


def run(values, number=0, **options):
    options = {"epochs": 3, "seed": 3 + number, "execution": number, "fold": 0} | options
    return Run(network="mlp", values=VALUES | values, **options)


def train(trainer, runs, rows):
    """The results of trials of one run each."""
    return [trainer.train([each], rows)[0] for each in runs]


def together(runs, rows, report=None, trainer=None):
    """The same from one pack."""
    works = [Work([each], rows, report) for each in runs]
    (trainer or PackTrainer()).train_together(works)
    return [work.results()[0] for work in works]


assert_same = partial(alike.assert_same, **CLOSE)


# Values for all networks of a pack, and those of each.
MATRIX = [
    (
        Task.REGRESSION,
        {"activation": ["relu", "selu"]},
        [
            {"optimizer": "adam"},
            {"optimizer": "adamw", "weight_decay": 0.1, "lr_schedule": "cosine"},
            {"l2": 0.01, "lr_schedule": "exponential", "learning_rate": 0.03},
        ],
    ),
    (
        Task.MULTICLASS,
        {"optimizer": "nadam", "activation": ["sigmoid", "softplus"]},
        [{}, {"l2": 0.1}, {"weight_decay": 0.01, "kernel_initializer": "he_normal"}],
    ),
    (
        Task.BINARY,
        {"optimizer": "sgd", "activation": ["leaky_relu", "linear"]},
        [{"momentum": 0.9}, {"learning_rate": 0.1}, {"momentum": 0.5, "weight_decay": 0.01}],
    ),
    (
        Task.REGRESSION,
        {"optimizer": "rmsprop", "activation": ["elu", "gelu"], "learning_rate": 0.001},
        [{"momentum": 0.9}, {}, {"kernel_initializer": "orthogonal"}],
    ),
    (
        Task.REGRESSION,
        {"optimizer": "adagrad", "activation": ["silu", "tanh"]},
        [{}, {"l2": 0.01}, {"learning_rate": 0.1}],
    ),
    (
        Task.REGRESSION,
        {"optimizer": "adamax", "batch_normalization": [True, False], "activation": "sigmoid"},
        [{}, {"l2": 0.01}, {"learning_rate": 0.1}],
    ),
]


@pytest.mark.parametrize(
    ("task", "common", "own"),
    MATRIX,
    ids=[common.get("optimizer", "adam") for _, common, _ in MATRIX],
)
def test_a_pack_gives_the_answers_of_keras_and_of_each_network_alone(task, common, own):
    runs = [
        run(common | values | {"units": units}, number)
        for number, (values, units) in enumerate(zip(own, WIDTHS, strict=True))
    ]
    rows = [data(task)]
    packed = together(runs, rows)
    assert_same(KerasTrainer().train(runs[:1], rows)[0], packed[0])
    for reference, result in zip(train(NumpyTrainer(), runs, rows), packed, strict=True):
        assert_same(reference, result)


# The program of the first row is traced by now: what follows takes its structure.
TRACED = MATRIX[0][1]


def assert_alone(runs, rows):
    """The results of a pack, compared with those of each network alone."""
    packed = together([replace(each, values=each.values | TRACED) for each in runs], rows)
    alone = train(
        NumpyTrainer(), [replace(each, values=each.values | TRACED) for each in runs], rows
    )
    for reference, result in zip(alone, packed, strict=True):
        assert_same(reference, result)
    return packed


def test_each_run_ends_where_it_would_alone():
    early = EarlyStopping(2, 0.05)
    runs = [
        run({"units": [16, 9], "learning_rate": 0.3}, 0, epochs=12, early_stopping=early),
        run({"units": [5, 20], "learning_rate": 0.0001}, 1, epochs=12, early_stopping=early),
        run({"units": 8, "learning_rate": 0.1, "lr_schedule": "reduce_on_plateau"}, 2, epochs=12),
        run({"units": 8}, 3, epochs=2),
    ]
    results = assert_alone(runs, [data()])
    assert len({result.epochs for result in results}) >= 3
    constant = run({"units": 8, "learning_rate": 0.1} | TRACED, 2, epochs=12)
    assert NumpyTrainer().train([constant], [data()])[0].history != results[2].history


def test_folds_of_other_rows_and_features():
    runs = [run({"units": units}, number, fold=number) for number, units in enumerate(WIDTHS)]
    whole = data(rows=36)
    same = replace(whole, x_validation=whole.x_train, y_validation=whole.y_train)
    assert_alone(runs, [data(), data(rows=34, features=3), same])


def test_other_batches_make_other_packs():
    runs = [run({"units": 8, "batch_size": size}, size) for size in (8, 36, 100)]
    assert_alone(runs, [data()])


def test_going_on_from_a_parent():
    parent = NumpyTrainer().train([run({"units": 8} | TRACED)], [data()])[0]
    going_on = {"epochs": 5, "initial_epoch": 3, "initial_weights": parent.weights}
    runs = [
        run({"units": 8, "lr_schedule": "cosine"}, 0, **going_on),
        run({"units": 8, "optimizer": "adamw", "weight_decay": 0.1}, 1, **going_on),
        run({"units": 12}, 2),
    ]
    assert [result.epochs for result in assert_alone(runs, [data()])] == [5, 5, 3]


def test_a_run_that_diverges_leaves_the_others_right():
    runs = [run({"units": 8} | TRACED, 0), run({"units": 8, "learning_rate": 1e30} | TRACED, 1)]
    fine, lost = together([*runs, runs[0]], [data()])[:2]
    assert_same(NumpyTrainer().train(runs[:1], [data()])[0], fine)
    assert (lost.diverged, lost.best_epoch, lost.epochs) == (True, 0, 1)
    assert len(lost.weights) == 0


def test_runs_of_a_trial_end_with_the_first_that_diverges():
    runs = [run({"units": 8, "learning_rate": rate} | TRACED) for rate in (0.01, 1e30, 0.01)]
    results = PackTrainer().train(runs, [data()])
    assert [result.diverged for result in results] == [False, True]


def test_a_stopped_trial_keeps_its_best_and_the_others_go_on():
    told = []

    def report(epoch):
        told.append((epoch.execution, epoch.epoch))
        return epoch.execution == 1 and epoch.epoch == 2

    runs = [run({"units": units} | TRACED, number) for number, units in enumerate((8, 9, 10))]
    results = together(runs, [data()], report)
    assert [(each.stopped, each.epochs) for each in results] == [(False, 3), (True, 2), (False, 3)]
    assert results[1].history["loss"] == pytest.approx(
        NumpyTrainer().train([runs[1]], [data()])[0].history["loss"][:2], rel=2e-5
    )
    # In step, so that a pruner sees every run as it comes.
    assert told == [(0, 1), (1, 1), (2, 1), (0, 2), (1, 2), (2, 2), (0, 3), (2, 3)]


def test_dropout_follows_from_the_run_alone():
    common = TRACED | {"dropout": [0.5, 0.25]}
    runs = [run(common | {"units": units}, number) for number, units in enumerate(WIDTHS)]
    plain = run(TRACED | {"units": 8}, 3)
    packed = together([*runs, plain], [data()])
    for each, result in zip(runs, packed, strict=False):
        assert_same(PackTrainer().train([each], [data()])[0], result)
    assert_same(NumpyTrainer().train([plain], [data()])[0], packed[3])
    kept = NumpyTrainer().train([run(TRACED | {"units": WIDTHS[0]}, 0)], [data()])[0]
    assert packed[0].history["loss"] != pytest.approx(kept.history["loss"], rel=0.01)


def test_dropout_leaves_out_its_share():
    keys = tf.constant([epoch_key(seed, epoch) for seed, epoch in ((1, 0), (2, 0), (1, 1))])
    rates = tf.constant([0.5, 0.1, 0.0])
    drawn = factors(tf.cast(keys, tf.uint32), tf.constant(3), rates, [3, 400, 100]).numpy()
    np.testing.assert_allclose((drawn == 0).mean(axis=(1, 2)), [0.5, 0.1, 0.0], atol=0.01)
    np.testing.assert_allclose(drawn.mean(axis=(1, 2)), 1.0, atol=0.02)
    kept = drawn[0] != 0
    # Neither rows nor units nor networks repeat each other.
    assert 0.4 < (kept[1:] == kept[:-1]).mean() < 0.6
    assert 0.4 < (kept[:, 1:] == kept[:, :-1]).mean() < 0.6
    other = factors(tf.cast(keys[::2], tf.uint32), tf.constant(3), rates[:1], [2, 400, 100])
    assert 0.4 < (kept == (other.numpy()[1] != 0)).mean() < 0.6
    fewer = factors(tf.cast(keys, tf.uint32), tf.constant(3), rates, [3, 20, 7]).numpy()
    np.testing.assert_array_equal(fewer, drawn[:, :20, :7])
    later = factors(tf.cast(keys, tf.uint32), tf.constant(4), rates, [3, 400, 100]).numpy()
    assert 0.4 < (kept == (later[0] != 0)).mean() < 0.6


def test_weights_of_rows():
    weights = GENERATOR.uniform(0, 3, 37).astype(np.float32)
    runs = [run({"units": 8}), run({"units": [4, 9], "l2": 0.01}, 1)]
    weighted = data(weights_train=weights)
    results = assert_alone(runs, [weighted])
    assert_same(
        KerasTrainer().train([replace(runs[0], values=runs[0].values | TRACED)], [weighted])[0],
        results[0],
    )


def run_out_of_memory():
    """What TensorFlow's allocator raises, after it has waited for memory for 10 s."""
    raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")


def test_a_pack_that_runs_out_of_memory_is_halved():
    runs = [run({"units": units} | TRACED, number) for number, units in enumerate(WIDTHS)]
    told = []

    def report(epoch):
        if len(told) == 4:
            told.append("no memory")
            run_out_of_memory()
        told.append((epoch.execution, epoch.epoch))

    results = together(runs, [data()], report)
    for reference, result in zip(train(NumpyTrainer(), runs, [data()]), results, strict=True):
        assert_same(reference, result)
    # Sorted by size; what was told before is not told again, and halves follow each other.
    assert told[:6] == [(1, 1), (2, 1), (0, 1), (1, 2), "no memory", (1, 3)]
    assert told[6:] == [(2, 2), (0, 2), (2, 3), (0, 3)]


def test_a_run_that_does_not_fit_alone_fails_alone():
    runs = [run({"units": units} | TRACED, number) for number, units in enumerate(WIDTHS)]

    def report(epoch):
        if epoch.execution == 1:
            run_out_of_memory()

    works = [Work([each], [data()], report) for each in runs]
    PackTrainer().train_together(works)
    assert [len(work.results()) for work in (works[0], works[2])] == [1, 1]
    with pytest.raises(MemoryError):
        works[1].results()
    with pytest.raises(MemoryError):
        PackTrainer().train(runs, [data()], report)


def test_packs_hold_what_is_alike_within_memory():
    def sizes(widths, memory=2**30, **values):
        runs = [run({"units": width} | values, number) for number, width in enumerate(widths)]
        members = [Work([each], [data()]).members[0] for each in runs]
        return [
            [member.layout.widths[1] for member in pack]
            for pack in sort_into_packs(members, memory)
        ]

    assert sizes([64, 8, 32]) == [[8, 32, 64]]
    assert sizes([64, 8, 32], memory=1) == [[8], [32], [64]]
    # Large networks are not padded to more than twice their weights.
    assert sizes([1024, 4096, 1200]) == [[1024, 1200], [4096]]
    assert [len(pack) for pack in sizes([4] * 300)] == [256, 44]
