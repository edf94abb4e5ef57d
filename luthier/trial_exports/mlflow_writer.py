"""Trials as runs of MLflow, and the version as its model."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from luthier.trial_exports.records import ExportError, JobRecord, TrialRecord

_BATCH = 1000  # metrics of one call, which MLflow limits


def write(job: JobRecord, destination: str, download: Callable[[str], bytes]) -> str:
    """Add a run for the job and one below it for each trial, and return what to do with them.

    `destination` is a tracking URI, or a folder for a database and files. The run of the job has
    the ONNX graph of its version as `model`.
    """
    try:
        from mlflow import MlflowClient
    except ImportError as error:
        raise ExportError("This needs MLflow: pip install mlflow-skinny") from error
    uri, artifacts = destination, None
    if "://" not in destination:
        folder = Path(destination).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        uri, artifacts = f"sqlite:///{folder / 'mlflow.db'}", (folder / "artifacts").as_uri()
    client = MlflowClient(tracking_uri=uri)
    found = client.get_experiment_by_name(job.model)
    experiment = found.experiment_id if found else client.create_experiment(job.model, artifacts)
    parent = _run_of_job(client, experiment, job)
    for trial in job.trials:
        _run_of_trial(client, experiment, parent, trial)
    if job.version is not None:
        _log_model(client, parent, download("model.onnx"))
    client.set_terminated(parent, "FINISHED")
    return f"mlflow server --backend-store-uri {uri}"


def _run_of_job(client: Any, experiment: str, job: JobRecord) -> str:
    from mlflow.entities import Param

    tags = {"mlflow.runName": job.id, "luthier.job": job.id}
    tags |= {"luthier.version": str(job.version)} if job.version is not None else {}
    run = str(client.create_run(experiment, tags=tags).info.run_id)
    kept = ("dataset", "target", "task", "network", "seed", "executions_per_trial")
    params = {name: job.request[name] for name in kept}
    params["strategy"] = job.request["strategy"]["name"]
    params["objective"] = ", ".join(o["metric"] for o in job.objectives)
    client.log_batch(run, params=[Param(name, str(value)) for name, value in params.items()])
    return run


def _run_of_trial(client: Any, experiment: str, parent: str, trial: TrialRecord) -> None:
    from mlflow.entities import Param

    tags = {
        "mlflow.runName": f"trial-{trial.number:04d}",
        "mlflow.parentRunId": parent,
        "luthier.trial": str(trial.number),
        "luthier.state": trial.state,
    }
    start = _milliseconds(trial.started)
    run = str(client.create_run(experiment, start_time=start, tags=tags).info.run_id)
    params = [Param(name, str(value)) for name, value in trial.values.items()]
    client.log_batch(run, params=params)
    metrics = list(_metrics(trial))
    for first in range(0, len(metrics), _BATCH):
        client.log_batch(run, metrics=metrics[first : first + _BATCH])
    status = "FINISHED" if trial.score is not None else "FAILED"
    client.set_terminated(run, status, _milliseconds(trial.finished))


def _metrics(trial: TrialRecord) -> Iterator[Any]:
    from mlflow.entities import Metric

    time = _milliseconds(trial.finished) or 0
    if trial.score is not None:
        yield Metric("score", trial.score, time, trial.best_epoch)
    for name, value in trial.metrics.items():
        yield Metric(f"best_{name}", value, time, trial.best_epoch)
    for name, curve in trial.history.items():
        for epoch, point in enumerate(curve, 1):
            if point is not None:
                yield Metric(name, point, time, epoch)


def _log_model(client: Any, run: str, graph: bytes) -> None:
    import mlflow.onnx
    import onnx

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "model"
        mlflow.onnx.save_model(
            onnx.load_from_string(graph), str(folder), pip_requirements=["onnxruntime"]
        )
        client.log_artifacts(run, str(folder), "model")


def _milliseconds(time: Any) -> int | None:
    return round(time.timestamp() * 1000) if time else None
