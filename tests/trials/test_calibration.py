import psutil
import pytest

from models.networks.size import Size
from models.space.drawing import Values
from models.trials.calibration import CostModel, Measured, Work, measure
from models.trials.data import prepare
from models.trials.run import PeakMemory, run_trial
from models.trials.trainers.base import EpochReport

SMALL: Values = {"num_layers": 1, "units": 4, "batch_size": 16}


def work(parameters, batch, rows=1000):
    return Work(Size(parameters, parameters, 3), batch, rows, 200)


def test_the_model_finds_the_seconds_of_networks_that_were_not_measured():
    def seconds(each):
        steps, products, updates = each.epoch_terms
        return 1e-4 * steps + 2e-10 * products + 3e-9 * updates

    measured = [
        Measured(each, seconds(each), 0.5 + 1e-8 * each.size.parameters, 0)
        for each in (work(10**3, 32), work(10**6, 32), work(10**6, 128), work(10**5, 64))
    ]
    model, other = CostModel(measured), work(4 * 10**5, 100, rows=5000)
    assert model.epoch_seconds(other) == pytest.approx(seconds(other), rel=0.01)
    assert model.setup_seconds(other) == pytest.approx(0.504, rel=0.01)


def test_one_point_is_enough_and_nothing_is_negative():
    model = CostModel([Measured(work(1000, 32), 0.01, 0.0, 0)])
    assert model.epoch_seconds(work(1000, 32)) == pytest.approx(0.01)
    assert model.setup_seconds(work(1000, 32)) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("network_values", [SMALL, SMALL | {"num_layers": 0}])
def test_a_network_is_really_trained(line, network_values):
    fold = prepare(line).folds[0]
    measured = measure("mlp", network_values, fold)
    assert measured.epoch_seconds > 0
    assert measured.setup_seconds >= 0
    assert measured.memory_bytes > 50 * 1024**2
    assert measured.work.rows == len(fold.training_truth)


def test_only_some_rows_are_used_where_all_would_take_long(stored, plane):
    fold = prepare(stored(plane(20_000))).folds[0]
    measured = measure("mlp", {"num_layers": 2, "units": 400, "batch_size": 512}, fold)
    assert 512 <= measured.work.rows < len(fold.training_truth)
    assert measured.work.validation_rows < len(fold.validation_truth)


def test_a_training_that_diverges_is_measured_too(line):
    wild = SMALL | {"learning_rate": 10.0, "optimizer": "sgd", "num_layers": 5, "units": 64}
    assert measure("mlp", wild, prepare(line).folds[0]).epoch_seconds > 0


def test_a_trial_tells_the_memory_of_its_process(line, trial):
    seen: list[int] = []
    taken = run_trial(
        trial(line), lambda _: seen.append(psutil.Process().memory_info().rss)
    ).memory_bytes
    assert 0.5 < taken / max(seen) < 2


def test_memory_is_watched_without_hiding_the_reports():
    told = []

    def report(epoch):
        told.append(epoch)
        return True

    memory = PeakMemory(report)
    epoch = EpochReport(0, 0, 1, {})
    assert memory(epoch) is True
    assert told == [epoch]
    assert memory.bytes > 0
