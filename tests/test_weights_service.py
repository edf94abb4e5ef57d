"""Weighted rows through the whole service: upload, search, steering, prediction."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.waiting import PATIENCE

TUNING = Path(__file__).parent.parent / "docs" / "tuning.md"
LINEAR = {
    "num_layers": 0,
    "learning_rate": {"type": "float", "min": 1e-3, "max": 1e-1, "sampling": "log"},
}


def test_the_example_of_imbalanced_classes_runs(service, client, tmp_path):
    text = TUNING.read_text(encoding="utf-8")
    [script] = re.findall(r"```bash\n(.*?)```", text, re.S)
    script = script.replace("localhost:8000", service.url.removeprefix("http://"))
    command = ["bash", "-euc", script]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    job = client.wait(json.loads(done.stdout)["id"], every=0.1)
    assert job["state"] == "succeeded", job["error"]
    assert job["best_trial"]["metrics"]["recall"] > 0.5

    evidence = client.version("patients", job["version"])["evidence"]
    assert evidence["lineage"]["features"] == ["age", "pressure"]
    assert evidence["training"]["class_weights"]["ill"] == pytest.approx(7.5, rel=0.01)
    answer = client.predict("patients", [{"age": 75, "pressure": 160}, [35, 95]])
    assert answer["predictions"] == ["ill", "healthy"]
    other = client.predict("patients", [{"age": 75, "pressure": 160, "visits": 2}])
    assert other["predictions"] == ["ill"], "the column of weights is left out"


def test_weights_stay_while_a_job_is_steered(client):
    rows = [
        {"a": n % 17, "w": 1 + n % 2, "y": "rare" if n % 17 > 14 else "often"} for n in range(90)
    ]
    request = {
        "model": "steered-weights",
        "dataset": {"records": rows},
        "target": "y",
        "search_space": LINEAR,
        "evaluation": {"method": "cv", "folds": 2},
        "budget": {"max_trials": 3, "epochs": 2},
    }
    weights = {"class_weight": {"rare": 5}, "sample_weight": "w"}
    plain = client.wait(client.tune(request | {"features": ["a"]})["id"], every=0.1)
    job = client.tune(request | weights)
    client.enqueue(job["id"], {"learning_rate": 0.02})
    job = client.wait(job["id"], every=0.1)
    job = client.wait(client.change_budget(job["id"], max_trials=4)["id"], every=0.1)
    assert job["state"] == "succeeded", job["error"]
    told = {"class_weight": {"often": 1.0, "rare": 5.0}, "sample_weight": "w"}
    assert {name: job["request"][name] for name in told} == told
    trials = client.trials(job["id"])
    assert len(trials) == 5
    assert [trial["reused_from"] for trial in trials] == [None] * 5
    by_values = {str(trial["values"]): trial["score"] for trial in client.trials(plain["id"])}
    same = [trial for trial in trials if str(trial["values"]) in by_values]
    assert same
    assert all(trial["score"] != by_values[str(trial["values"])] for trial in same)

    narrow = {"model": "narrow-weights", "narrow_from": {"job": job["id"]}}
    narrowed = client.wait(client.tune(narrow | {"budget": {"max_trials": 1}})["id"], every=0.1)
    assert narrowed["state"] == "succeeded", narrowed["error"]
    assert {name: narrowed["request"][name] for name in told} == told
    assert any(trial["reused_from"] for trial in client.trials(narrowed["id"]))
    version = client.version("narrow-weights", narrowed["version"])
    assert version["evidence"]["training"]["refit"]
    assert list(version["evidence"]["training"]["class_weights"]) == ["often", "rare"]
    assert client.predict("narrow-weights", [[3]])["predictions"]
