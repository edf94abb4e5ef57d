"""Every contestant of the benchmarks gets the same rows, and where it counts the same networks."""

from multiprocessing import get_context

import httpx
import numpy as np
import psutil
import pytest

from benchmarks.quality import tables
from benchmarks.quality.service import LuthierService
from benchmarks.tuning.preparing import draw_networks, layers, prepare_rows
from benchmarks.tuning.service import Service, request_of
from benchmarks.tuning.task import Turns, load, part
from benchmarks.tuning.workloads import WORKLOADS, representative
from tests.waiting import PATIENCE


def test_the_networks_are_those_that_the_service_trains(client):
    workload = WORKLOADS["A"].shortened(trials=3, epochs=1)
    service = Service(client, psutil.Process())
    _, job = service.tune(request_of(workload, service.upload(*workload.table())))
    trained = [layers(trial["values"]) for trial in service.trials(job["id"])]
    assert sorted(trained) == sorted(draw_networks(workload))


def test_every_fold_has_all_rows_scaled_by_those_it_trains_on(tmp_path):
    prepare_rows(WORKLOADS["D"], tmp_path / "rows.npz")
    folds = load(str(tmp_path / "rows.npz"))
    assert len(folds) == 5
    for fold in folds:
        assert len(fold.x_train) + len(fold.x_validation) == 442
        assert np.allclose(fold.x_train.mean(axis=0), 0, atol=1e-6)


def test_images_become_long_rows_with_class_numbers(tmp_path):
    prepare_rows(WORKLOADS["C"], tmp_path / "rows.npz")
    (fold,) = load(str(tmp_path / "rows.npz"))
    assert fold.x_train.shape == (8000, 784)
    assert fold.classes == 10
    assert set(fold.y_train) == set(range(10))


def test_the_networks_of_slow_contestants_are_the_middles_of_equal_groups():
    networks = tuple((64, units) for units in (8, 1, 7, 2, 6, 3, 5, 4))
    assert [networks[number][1] for number in representative(networks, 4)] == [2, 4, 6, 8]
    assert [networks[number][1] for number in representative(networks, 1)] == [5]


def test_parts_hold_every_network_once_and_are_alike():
    networks = tuple((units,) for units in range(5))
    assert [part(networks, process, 2) for process in (0, 1)] == [
        ((0,), (3,), (4,)),
        ((1,), (2,)),
    ]


def test_every_turn_is_taken_once():
    turns = Turns(get_context("spawn"), 3)
    assert next(iter(turns)) == 0
    assert list(turns) == [1, 2]


def test_luthier_is_measured_through_its_service(service, client):
    table = tables.read_tables()["digits"]
    case = tables.split(table, tables.load(table, 400), 0)
    with httpx.Client(base_url=service.url, timeout=PATIENCE) as http:
        quick = LuthierService(client, http, {"budget": {"max_trials": 1, "epochs": 5}})
        found = quick.run(case)
        refused = LuthierService(client, http, {"budget": {"max_trials": -1}}).run(case)
    assert (found.state, found.reason) == ("done", None)
    assert found.predictions is not None
    assert found.predictions.shape == (80, 10)
    assert found.predictions.sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert min(found.seconds, found.bytes or 0, found.row_ms or 0) > 0
    assert refused.state == "failed"
    assert "422" in (refused.reason or "")
