"""Trials of a real job in TensorBoard, Optuna and MLflow, read back by these libraries."""

import re
import sys
from datetime import UTC, datetime
from pathlib import Path

import optuna
import pytest
from click.testing import CliRunner

from luthier.trial_exports import mlflow_writer, optuna_writer
from luthier.trial_exports.command import export_trials
from luthier.trial_exports.records import ExportError, JobRecord, TrialRecord, read_job

REQUEST = {
    "model": "exported",
    "dataset": "builtin:diabetes",
    "target": "target",
    "search_space": {
        "num_layers": {"type": "int", "min": 0, "max": 2},
        "units": {"type": "int", "min": 4, "max": 16, "step": 4, "per_layer": True},
        "dropout": {"type": "float", "min": 0.0, "max": 0.3, "step": 0.1},
        "learning_rate": {"type": "float", "min": 0.001, "max": 0.1, "sampling": "log"},
        "optimizer": {"type": "choice", "values": ["adam", "sgd"]},
        "batch_normalization": {"type": "boolean"},
    },
    # The first one lies outside of the space.
    "strategy": {"name": "random", "initial_trials": [{"num_layers": 1, "units": 20}]},
    "objective": "rmse",
    "budget": {"max_trials": 3, "epochs": 2},
    "evaluation": {"method": "holdout"},
    "ensemble": 1,
    "refit": False,
}


@pytest.fixture(scope="module")
def job(client):
    done = client.wait(client.tune(REQUEST)["id"], every=0.1)
    assert done["state"] == "succeeded", done["error"]
    return done


@pytest.fixture(scope="module")
def record(client, job) -> JobRecord:
    return read_job(client, job["id"])


def export(service, *arguments: str) -> str:
    done = CliRunner().invoke(export_trials, [*arguments, "--url", service.url])
    assert done.exit_code == 0, done.output
    return done.output


def test_the_study_has_values_scores_curves_and_states(service, client, job, tmp_path):
    path = tmp_path / "study.db"
    said = export(service, job["id"], str(path), "--to", "optuna")
    (expression,) = re.findall(r"optuna\.load_study\(.*\)", said)
    study = eval(expression, {"optuna": optuna})
    assert study.direction == optuna.study.StudyDirection.MINIMIZE
    trials = client.trials(job["id"])
    assert len(study.trials) == len(trials) == 4
    assert study.best_value == pytest.approx(job["best_trial"]["score"])
    for ours, theirs in zip(trials, study.trials, strict=True):
        assert theirs.value == ours["score"]
        assert theirs.params["learning_rate"] == ours["values"]["learning_rate"]
        layers = [theirs.params[f"units_{n + 1}"] for n in range(ours["values"]["num_layers"])]
        assert layers == ours["values"].get("units", [])
        assert theirs.user_attrs["metrics"]["r2"] == ours["metrics"]["r2"]
        assert len(theirs.intermediate_values) == len(ours["history"].get("val_rmse", []))
    assert study.trials[0].distributions["learning_rate"].log
    assert study.trials[0].distributions["units_1"].high == 20
    # Optuna goes on from them.
    study.sampler = optuna.samplers.TPESampler(n_startup_trials=1, seed=0)
    assert "learning_rate" in study.ask(study.trials[1].distributions).params


def test_a_journal_is_written_once(service, job, tmp_path):
    path = str(tmp_path / "study.log")
    export(service, job["id"], path, "--to", "optuna")
    again = CliRunner().invoke(
        export_trials, [job["id"], path, "--to", "optuna", "--url", service.url]
    )
    assert again.exit_code == 1
    assert "already" in again.output


def test_several_objectives_are_a_study_of_several_directions(tmp_path):
    now = datetime.now(UTC)
    done = TrialRecord(
        1, "completed", {"units": 8}, {"units": 8}, 2.0, (2.0, 0.9), {}, {}, 1, now, now
    )
    failed = TrialRecord(2, "failed", {"units": 4}, {"units": 4}, None, (), {}, {}, 0, now, now)
    request = {
        "network": "mlp",
        "search_space": {"units": {"type": "int", "min": 4, "max": 8}},
        "objective": [
            {"metric": "rmse", "direction": "min"},
            {"metric": "r2", "direction": "max"},
        ],
    }
    optuna_writer.write(JobRecord("job_1", "m", None, request, (done, failed)), f"{tmp_path}/s.db")
    study = optuna.load_study(study_name="job_1", storage=f"sqlite:///{tmp_path}/s.db")
    assert [direction.name for direction in study.directions] == ["MINIMIZE", "MAXIMIZE"]
    assert study.metric_names == ["rmse", "r2"]
    assert [trial.values for trial in study.trials] == [[2.0, 0.9], None]
    assert study.trials[1].state == optuna.trial.TrialState.FAIL


def test_tensorboard_s_plugin_lists_the_trials(service, client, job, tmp_path):
    said = export(service, job["id"], str(tmp_path), "--to", "tensorboard")
    assert f"tensorboard --logdir {tmp_path}" in said
    groups = {group.sessions[0].name: group for group in session_groups(tmp_path)}
    trials = client.trials(job["id"])
    assert len(groups) == len(trials)
    for trial in trials:
        group = groups[f"{job['id']}/trial-{trial['number']:04d}"]
        assert group.hparams["learning_rate"].number_value == trial["values"]["learning_rate"]
        assert group.hparams["optimizer"].string_value == trial["values"]["optimizer"]
        metrics = {value.name.tag: value.value for value in group.metric_values}
        assert metrics["score"] == pytest.approx(trial["score"])
        assert metrics["metrics/r2"] == pytest.approx(trial["metrics"]["r2"])


def test_tensorboard_shows_the_learning_curves(service, client, job, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    export(service, job["id"], str(tmp_path), "--to", "tensorboard")
    trial = client.trials(job["id"])[0]
    found = EventAccumulator(str(tmp_path / job["id"] / "trial-0001"))
    found.Reload()
    curve = [event.value for event in found.Scalars("epoch/val_loss")]
    assert curve == pytest.approx(trial["history"]["val_loss"])
    assert [event.step for event in found.Scalars("score")] == [trial["best_epoch"]]


def session_groups(folder: Path):
    """Return what the HParams page of TensorBoard shows."""
    from tensorboard import context
    from tensorboard.backend.event_processing import data_provider, plugin_event_multiplexer
    from tensorboard.plugins import base_plugin
    from tensorboard.plugins.hparams import (
        api_pb2,
        backend_context,
        get_experiment,
        list_session_groups,
    )

    multiplexer = plugin_event_multiplexer.EventMultiplexer()
    multiplexer.AddRunsFromDirectory(str(folder))
    multiplexer.Reload()
    provider = data_provider.MultiplexerDataProvider(multiplexer, str(folder))
    backend = backend_context.Context(base_plugin.TBContext(data_provider=provider))
    request, empty = api_pb2.ListSessionGroupsRequest(slice_size=100), context.RequestContext()
    request.allowed_statuses.extend([api_pb2.STATUS_SUCCESS, api_pb2.STATUS_FAILURE])
    whole = api_pb2.GetExperimentRequest(include_metrics=True)
    experiment = get_experiment.Handler(empty, backend, "", whole).run()
    request.col_params.extend(
        api_pb2.ColParams(metric=each.name) for each in experiment.metric_infos
    )
    return list_session_groups.Handler(empty, backend, "", request).run().session_groups


def test_a_missing_library_is_named(record, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(ExportError, match="pip install mlflow-skinny"):
        mlflow_writer.write(record, str(tmp_path / "runs"), lambda file: b"")
    assert not (tmp_path / "runs").exists()


def test_an_unknown_job_is_an_error_in_one_line(service, tmp_path):
    done = CliRunner().invoke(
        export_trials, ["job_0", str(tmp_path), "--to", "optuna", "--url", service.url]
    )
    assert done.exit_code == 1
    assert done.output == "Error: There is no job 'job_0'.\n"
