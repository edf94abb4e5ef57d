"""Every strategy on real data through the whole service, to a version that predicts."""

import tempfile

import keras
import numpy as np
import pytest
import sklearn.datasets

from tests.processes import fetch

SPACE = {
    "num_layers": {"type": "int", "min": 1, "max": 2},
    "units": {"type": "int", "min": 16, "max": 32, "step": 16, "per_layer": True},
    "learning_rate": {"type": "float", "min": 3e-3, "max": 3e-2, "sampling": "log"},
}
GRID_SPACE = {
    "num_layers": {"type": "choice", "values": [1, 2]},
    "learning_rate": {"type": "choice", "values": [0.01, 0.03]},
}
STRATEGIES = {
    "manual": {"name": "manual", "trials": [{"units": 16}, {"units": 32, "num_layers": 1}]},
    "grid": {"name": "grid"},
    "random": {"name": "random"},
    "bayesian": {"name": "bayesian", "num_initial_points": 2},
    "hyperband": {"name": "hyperband", "max_epochs": 6, "factor": 4},
}
TRIALS = {"manual": 2, "grid": 4, "random": 4, "bayesian": 4, "hyperband": 11}
LOADERS = {
    "diabetes": (sklearn.datasets.load_diabetes, "r2", 0.3),
    "breast_cancer": (sklearn.datasets.load_breast_cancer, "accuracy", 0.9),
}


@pytest.mark.parametrize("dataset", LOADERS)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_strategy_finds_a_network_that_beats_the_baseline(service, client, strategy, dataset):
    model = f"{strategy}-{dataset}"
    job = client.tune(
        {
            "model": model,
            "dataset": f"builtin:{dataset}",
            "target": "target",
            "search_space": GRID_SPACE if strategy == "grid" else SPACE,
            "strategy": STRATEGIES[strategy],
            "evaluation": {"method": "holdout"},
            "budget": {"epochs": 15}
            | ({"max_trials": 4} if strategy in ("random", "bayesian") else {}),
            "seed": 3,
        }
    )
    done = client.wait(job["id"], every=0.2)
    assert done["state"] == "succeeded", done["error"]
    assert done["progress"]["completed"] == TRIALS[strategy]
    assert done["progress"]["total"] == TRIALS[strategy]

    _, metric, good_enough = LOADERS[dataset]
    version = client.version(model, done["version"])
    assert version["metrics"][metric] > good_enough
    assert version["metrics"][metric] > version["baseline"][metric]
    assert version["evidence"]["parity"]["difference"] <= 1e-4
    assert_onnx_equals_keras(service.url, client, model, dataset)


def test_trials_run_in_the_order_of_their_numbers_also_with_a_target_score(client):
    job = client.tune(
        {
            "model": "in-order",
            "dataset": "builtin:diabetes",
            "target": "target",
            "search_space": {"units": {"type": "choice", "values": [256, 8, 64]}},
            "strategy": "grid",
            "evaluation": {"method": "holdout"},
            "budget": {"epochs": 2, "target_score": 1e-9},
            "parallelism": 1,
        }
    )
    done = client.wait(job["id"], every=0.1)
    assert done["stop_reason"] == "exhausted"
    trials = sorted(client.trials(job["id"]), key=lambda trial: trial["started"])
    assert [trial["values"]["units"] for trial in trials] == [256, 8, 64]
    assert [trial["number"] for trial in trials] == [1, 2, 3]


def assert_onnx_equals_keras(url, client, model, dataset):
    """The downloaded network, fed as preprocessing.json says, answers what /predict does."""
    rows = LOADERS[dataset][0]().data[:20]
    answer = client.predict(model, rows.tolist())
    files = f"{url}/models/{model}/versions/{answer['version']}/artifacts"
    state = fetch(f"{files}/preprocessing.json").json()
    columns = state["preprocessor"]["scaled"]
    mean = np.array([column["mean"][0] for column in columns])
    scale = np.array([column["scale"][0] for column in columns])
    network = load_network(fetch(f"{files}/model.keras").content)
    outputs = np.asarray(network(((rows - mean) / scale).astype("float32"), training=False))
    if dataset == "diabetes":
        target = state["target"]
        expected = outputs[:, 0] * target["scale"] + target["mean"]
        difference = np.abs(np.array(answer["predictions"]) - expected).max() / target["scale"]
    else:
        difference = np.abs(np.array(answer["probabilities"])[:, 1] - outputs[:, 0]).max()
    assert difference <= 1e-4


def load_network(content):
    with tempfile.NamedTemporaryFile(suffix=".keras") as file:
        file.write(content)
        file.flush()
        return keras.models.load_model(file.name)
