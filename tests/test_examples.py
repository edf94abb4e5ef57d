"""Every ready request of `examples/`, through the whole service at a reduced budget."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"
# MNIST comes from a file that tests/test_images.py makes; narrow.json needs the job of wide.json.
REQUESTS = sorted(
    path.relative_to(EXAMPLES).as_posix()
    for path in EXAMPLES.glob("*/*.json")
    if path.name not in ("mnist-grid.json", "narrow.json")
)
SMALL = {"mlp": 3, "cnn": 1}  # epochs


def reduced(request: dict[str, Any]) -> dict[str, Any]:
    """The same request with a budget of a few short trials."""
    epochs = SMALL[request.get("network", "mlp")]
    strategy = request["strategy"]
    if strategy["name"] == "hyperband":
        strategy = strategy | {"max_epochs": 3}
    budget = request["budget"] | {"epochs": epochs, "max_trials": 2}
    return request | {"strategy": strategy, "budget": budget}


def read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((EXAMPLES / name).read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize("name", REQUESTS)
def test_a_ready_request_runs(client, name):
    request = reduced(read(name))
    job = client.wait(client.tune(request)["id"], every=0.1)
    assert job["state"] == "succeeded", job["error"]
    assert job["progress"]["completed"] == 2
    version = client.version(request["model"], job["version"])
    assert version["layers"]
    assert version["summary"]
    (best,) = client.trials(job["id"], sort="score", limit=1)
    assert best["score"] is not None
    assert best["seconds"] > 0 or best["reused_from"]
    if request.get("evaluation", {}).get("method") == "cv":
        scores = [fold["metrics"]["rmse"] for fold in best["folds"]]
        assert len(scores) == 5
        assert best["score"] == pytest.approx(np.mean(scores))
        assert best["spread"] == pytest.approx(np.std(scores))
        assert version["evidence"]["training"]["refit"]
    if request.get("executions_per_trial", 1) > 1:
        assert len(best["folds"]) == request["executions_per_trial"]


@pytest.mark.parametrize("name", ["2-xor/random.json", "2-xor/hyperband.json"])
def test_all_four_rows_of_xor_are_predicted(client, name):
    request = read(name) | {"model": f"solved-{Path(name).stem}", "search_space": {"units": 64}}
    request["search_space"] |= {"num_layers": 2, "learning_rate": 0.01, "batch_size": 4}
    request["budget"] |= {"max_trials": 1}
    if request["strategy"]["name"] == "hyperband":
        request["strategy"] |= {"max_epochs": 100, "factor": 100}
        request["budget"] |= {"max_trials": 2}
        request["search_space"]["units"] = {"type": "choice", "values": [64, 96]}
    job = client.wait(client.tune(request)["id"], every=0.1)
    assert job["state"] == "succeeded", job["error"]
    answer = client.predict(request["model"], [[0, 0], [0, 1], [1, 0], [1, 1]])
    assert answer["predictions"] == [0, 1, 1, 0]
    evidence = client.version(request["model"], job["version"])["evidence"]
    assert evidence["test"]["metrics"] is None
    assert evidence["test"]["note"]


def test_a_wide_space_is_narrowed(client):
    wide = client.wait(client.tune(reduced(read("2-xor/wide.json")) | WIDE)["id"], every=0.1)
    request = read("2-xor/narrow.json")
    request["narrow_from"]["job"] = wide["id"]
    request["budget"] = {"max_trials": 2, "epochs": 3}
    narrow = client.wait(client.tune(request)["id"], every=0.1)
    assert narrow["state"] == "succeeded", narrow["error"]
    before = wide["request"]["search_space"]["learning_rate"]
    after = narrow["request"]["search_space"]["learning_rate"]
    assert before["min"] <= after["min"] <= after["max"] <= before["max"]
    assert after["max"] / after["min"] < before["max"] / before["min"]


WIDE = {"budget": {"max_trials": 8, "epochs": 3}, "model": "wide-reduced"}
