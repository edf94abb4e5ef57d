"""Trials as event files with the summaries of TensorBoard's HParams plugin."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from luthier.trial_exports.records import ExportError, JobRecord, TrialRecord


def write(job: JobRecord, folder: Path) -> str:
    """Write one run a trial below `folder`/<job>, and return what to do with it.

    Each run has its values, `score`, `metrics/…` at the best epoch, and curves as `epoch/…`.
    """
    try:
        # TensorBoard's own writer would import TensorFlow, which takes seconds.
        from tensorboard.plugins.hparams import metadata  # noqa: F401
    except ImportError as error:
        raise ExportError("This needs TensorBoard: pip install tensorboard") from error
    root = folder / job.id
    if root.exists():
        raise ExportError(f"{root} exists already.")
    _write_run(root, [_experiment(job)], 0.0)
    for trial in job.trials:
        run = root / f"trial-{trial.number:04d}"
        _write_run(run, _summaries(trial), trial.started.timestamp() if trial.started else 0.0)
    return f"tensorboard --logdir {folder}"


def _experiment(job: JobRecord) -> tuple[int, Any]:
    from tensorboard.plugins.hparams import api_pb2, plugin_data_pb2

    kinds = {bool: "DATA_TYPE_BOOL", int: "DATA_TYPE_FLOAT64", float: "DATA_TYPE_FLOAT64"}
    values = {name: value for trial in job.trials for name, value in trial.values.items()}
    metrics = {name: None for trial in job.trials for name in trial.metrics}
    experiment = api_pb2.Experiment(
        description=f"{job.id}: {job.request['strategy']['name']} search for {job.model}",
        hparam_infos=[
            api_pb2.HParamInfo(name=name, type=kinds.get(type(value), "DATA_TYPE_STRING"))
            for name, value in values.items()
        ],
        metric_infos=[
            api_pb2.MetricInfo(name=api_pb2.MetricName(tag=tag))
            for tag in ("score", *(f"metrics/{name}" for name in metrics))
        ],
    )
    return 0, _hparams("EXPERIMENT_TAG", plugin_data_pb2.HParamsPluginData(experiment=experiment))


def _summaries(trial: TrialRecord) -> Iterator[tuple[int, Any]]:
    from tensorboard.plugins.hparams import api_pb2, plugin_data_pb2

    start = plugin_data_pb2.SessionStartInfo(
        start_time_secs=trial.started.timestamp() if trial.started else 0.0
    )
    for name, value in trial.values.items():
        if isinstance(value, bool):
            start.hparams[name].bool_value = value
        elif isinstance(value, str):
            start.hparams[name].string_value = value
        else:
            start.hparams[name].number_value = value
    is_scored = trial.score is not None
    end = plugin_data_pb2.SessionEndInfo(
        status=api_pb2.STATUS_SUCCESS if is_scored else api_pb2.STATUS_FAILURE,
        end_time_secs=trial.finished.timestamp() if trial.finished else 0.0,
    )
    data = plugin_data_pb2.HParamsPluginData
    yield 0, _hparams("SESSION_START_INFO_TAG", data(session_start_info=start))
    for name, curve in trial.history.items():
        for epoch, point in enumerate(curve, 1):
            if point is not None:
                yield epoch, _scalar(f"epoch/{name}", point)
    if trial.score is not None:
        yield trial.best_epoch, _scalar("score", trial.score)
    for name, metric in trial.metrics.items():
        yield trial.best_epoch, _scalar(f"metrics/{name}", metric)
    yield 0, _hparams("SESSION_END_INFO_TAG", data(session_end_info=end))


def _hparams(tag: str, data: Any) -> Any:
    from tensorboard.compat.proto import summary_pb2
    from tensorboard.plugins.hparams import metadata

    summary = summary_pb2.Summary()
    summary.value.add(
        tag=getattr(metadata, tag),
        metadata=metadata.create_summary_metadata(data),
        tensor=metadata.NULL_TENSOR,
    )
    return summary


def _scalar(tag: str, value: float) -> Any:
    from tensorboard.compat.proto import summary_pb2

    summary = summary_pb2.Summary()
    summary.value.add(tag=tag, simple_value=value)
    return summary


def _write_run(folder: Path, summaries: Any, time: float) -> None:
    from tensorboard.compat.proto import event_pb2
    from tensorboard.summary.writer.record_writer import RecordWriter

    folder.mkdir(parents=True)
    # The name that TensorBoard looks for; the number keeps the files of a run in order.
    path = folder / f"events.out.tfevents.{int(time):010d}.luthier"
    with path.open("wb") as file:
        writer = RecordWriter(file)
        writer.write(
            event_pb2.Event(wall_time=time, file_version="brain.Event:2").SerializeToString()
        )
        for step, summary in summaries:
            event = event_pb2.Event(wall_time=time, step=step, summary=summary)
            writer.write(event.SerializeToString())
