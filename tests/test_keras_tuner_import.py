"""Project folders that Keras Tuner itself wrote, as tuning requests."""

import json
import runpy
from pathlib import Path
from typing import Any

import keras_tuner as kt
import pytest
from click.testing import CliRunner

from luthier.keras_tuner_import.command import import_project
from luthier.keras_tuner_import.conversion import convert
from luthier.keras_tuner_import.project import ProjectError, read_project
from tests.keras_tuner_projects import write_project

EXAMPLES = Path(__file__).parents[1] / "examples" / "6-keras-tuner"

# Raised inside Keras Tuner's lock.
pytestmark = pytest.mark.filterwarnings("ignore:(currentThread|getName):DeprecationWarning")


def declare(hp: Any) -> None:
    """Declare what a script's `build_model(hp)` would."""
    for layer in range(hp.Int("n_layers", 1, 3)):
        hp.Int(f"units_{layer}", 8, 32, step=8)
    hp.Choice("activation", ["relu", "swish", "softsign"])
    hp.Boolean("batch_norm")
    hp.Float("dropout_rate", 0.0, 0.4, step=0.1)
    hp.Float("lr", 1e-4, 1e-1, sampling="log")
    hp.Choice("optimizer", ["Adam", "SGD"])
    with hp.conditional_scope("optimizer", ["SGD"]):
        hp.Float("momentum", 0.0, 0.9)
    hp.Fixed("kernel_initializer", "he_normal")
    hp.Int("attention_heads", 1, 4)
    with hp.conditional_scope("attention_heads", [2]):
        hp.Float("l2", 1e-6, 1e-2, sampling="log")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_project(tmp_path_factory.mktemp("keras_tuner") / "flats", declare)


def test_finished_trials_are_read_best_first(folder):
    found = read_project(folder)
    assert [trial.score for trial in found.trials] == [1.0, 3.0, 4.0, 5.0]
    assert found.objective == ("val_mae", "min")


def test_the_space_is_converted(folder):
    conversion = convert(read_project(folder), {})
    assert conversion.request["search_space"] == {
        "num_layers": {"type": "int", "min": 1, "max": 3},
        "units": {"type": "int", "min": 8, "max": 32, "step": 8, "per_layer": True},
        "activation": {"type": "choice", "values": ["relu", "silu"]},
        "batch_normalization": {"type": "boolean"},
        "dropout": {"type": "float", "min": 0.0, "max": 0.4, "step": 0.1},
        "learning_rate": {"type": "float", "min": 1e-4, "max": 1e-1, "sampling": "log"},
        "optimizer": {"type": "choice", "values": ["adam", "sgd"]},
        "momentum": {"type": "float", "min": 0.0, "max": 0.9, "when": {"optimizer": ["sgd"]}},
        "kernel_initializer": "he_normal",
        "l2": {"type": "float", "min": 1e-6, "max": 1e-2, "sampling": "log"},
    }
    assert conversion.request["objective"] == "val_mae"
    assert conversion.request["budget"] == {"max_trials": 5}
    assert conversion.request["strategy"]["name"] == "auto"


def test_what_has_no_counterpart_is_told(folder):
    notes = "\n".join(convert(read_project(folder), {}).notes)
    assert "attention_heads: Luthier has no such hyperparameter" in notes
    assert "--rename attention_heads=NAME" in notes
    assert "activation: Luthier has no activation softsign" in notes
    assert "l2: it depended on attention_heads" in notes


def test_the_best_trials_run_first(folder):
    found = read_project(folder)
    request = convert(found, {}, best=2).request
    initial = request["strategy"]["initial_trials"]
    assert 1 <= len(initial) <= 2
    best, ours = found.trials[0].values, initial[0]
    if best["activation"] != "softsign":
        assert ours["learning_rate"] == best["lr"]
        assert ours["optimizer"] == best["optimizer"].lower()
        assert len(ours["units"]) == ours["num_layers"] == best["n_layers"]
        assert ("momentum" in ours) == (ours["optimizer"] == "sgd")
    assert "attention_heads" not in ours


def test_a_name_can_be_given(folder):
    conversion = convert(read_project(folder), {"attention_heads": "members"})
    assert conversion.request["search_space"]["members"] == {"type": "int", "min": 1, "max": 4}
    assert conversion.request["search_space"]["l2"]["when"] == {"members": [2]}
    assert not any("attention_heads" in note for note in conversion.notes)
    with pytest.raises(ProjectError, match="has no 'heads'"):
        convert(read_project(folder), {"attention_heads": "heads"})


@pytest.mark.parametrize(
    ("oracle", "options", "strategy"),
    [
        ("BayesianOptimizationOracle", {"max_trials": 20}, {"name": "bayesian"}),
        (
            "HyperbandOracle",
            {"max_epochs": 9},
            {"name": "hyperband", "max_epochs": 9, "factor": 3, "min_epochs": 1},
        ),
    ],
)
def test_the_strategy_is_that_of_the_oracle(tmp_path, oracle, options, strategy):
    folder = write_project(tmp_path / "flats", declare, getattr(kt.oracles, oracle), **options)
    request = convert(read_project(folder), {}).request
    found = {key: value for key, value in request["strategy"].items() if key != "initial_trials"}
    assert found == strategy
    assert "tuner/epochs" not in str(request)


def test_the_command_writes_a_request_and_the_service_takes_it(client, folder, tmp_path):
    path = tmp_path / "request.json"
    dataset = ["--dataset", "builtin:diabetes", "--target", "target", "--output", str(path)]
    done = CliRunner().invoke(import_project, [str(folder), *dataset])
    assert done.exit_code == 0, done.output
    assert "note: attention_heads" in done.stderr
    assert done.stdout == ""
    request = json.loads(path.read_text())
    assert request["model"] == "flats"
    plan = client.plan(request)
    assert plan["request"]["search_space"] == request["search_space"]


def test_the_command_starts_a_job(service, client, folder, tmp_path):
    rows = "\n".join(f"{n},{n % 7},{3 * n + n % 7}" for n in range(60))
    (tmp_path / "flats.csv").write_text(f"area,rooms,price\n{rows}\n")
    dataset = ["--dataset", str(tmp_path / "flats.csv"), "--target", "price", "--best", "1"]
    where = ["--run", "--url", service.url, "--model", "imported"]
    done = CliRunner().invoke(import_project, [str(folder), *dataset, *where])
    assert done.exit_code == 0, done.output
    job = done.stdout.strip()
    (first, *_) = client.job(job)["request"]["strategy"]["initial_trials"]
    assert first["kernel_initializer"] == "he_normal"
    client.cancel(job)


@pytest.mark.parametrize(
    ("more", "exit_code"),
    [
        (["--run", "--url", "http://127.0.0.1:1"], 3),
        (["--output", "/no-such-folder/request.json"], 1),
    ],
)
def test_the_command_fails_in_one_line(folder, more, exit_code):
    known = ["--dataset", "builtin:diabetes", "--target", "target", *more]
    done = CliRunner().invoke(import_project, [str(folder), *known])
    assert done.exit_code == exit_code, done.output
    assert isinstance(done.exception, SystemExit)
    assert "Error: " in done.stderr.splitlines()[-1]


def test_a_damaged_trial_is_named(tmp_path):
    (tmp_path / "oracle.json").write_text('{"hyperparameters": {"space": []}}')
    path = tmp_path / "trial_0" / "trial.json"
    path.parent.mkdir()
    path.write_text('{"status": "COMPLETED", "score": 1.0}')
    with pytest.raises(ProjectError, match=r"trial\.json is no trial of Keras Tuner"):
        read_project(tmp_path)


def test_other_folders_are_refused(tmp_path):
    with pytest.raises(ProjectError, match=r"oracle\.json cannot be read"):
        read_project(tmp_path)
    for content in ("{}", '{"hyperparameters": []}', '{"hyperparameters": {"space": 1}}'):
        (tmp_path / "oracle.json").write_text(content)
        with pytest.raises(ProjectError, match="has no hyperparameters"):
            read_project(tmp_path)


@pytest.mark.parametrize("name", ["random_search", "hyperband", "bayesian"])
def test_a_script_of_the_examples_has_the_space_of_its_request(tmp_path, name):
    script = runpy.run_path(str(EXAMPLES / f"{name}.py"))
    request = json.loads((EXAMPLES / f"{name.removesuffix('_search')}.json").read_text())

    def declare_by_script(hp: Any) -> None:
        if "build_model" in script:
            script["build_model"](hp)
            return
        script["Digits"]().build(hp)
        hp.Choice("batch_size", [32, 64])  # its fit() needs rows

    found = read_project(write_project(tmp_path / "script", declare_by_script))
    conversion = convert(found, {}, request.get("network", "mlp"))
    assert conversion.notes == []
    # The request also fixes what the script writes as plain code.
    fixed = {n: v for n, v in request["search_space"].items() if not isinstance(v, dict)}
    assert fixed | conversion.request["search_space"] == request["search_space"]
