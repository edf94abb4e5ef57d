"""The files of a version, made from a winning trial."""

import hashlib
import json
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import keras

from models.networks import families, summary
from models.registry.catalog import artifact_folder
from models.registry.comparison import check_parity
from models.registry.evidence import Training, evidence_document, signature_document
from models.registry.export import ExportResult, ExportSpec, RefitError
from models.registry.files import entry_path
from models.registry.held_out import measure_held_out
from models.registry.onnx_answers import OnnxAnswers
from models.registry.onnx_merge import merge
from models.registry.refit import refit
from models.store.artifacts import Artifacts
from models.trials.data import LoadedData, PreparedFold, load, prepare_fold
from models.trials.network_weights import load_weights
from models.trials.run import train_if_missing
from models.trials.spec import RunReport, TrialSpec
from models.trials.trainers.base import Weights


def build_version(spec: ExportSpec) -> ExportResult:
    """As `models.registry.export.export` says."""
    data = load(spec.trial.data)
    if not _is_refitted(spec, data):
        spec = _with_weights(spec)
    fold, weights, training = _weights(spec, data)
    network = _network(spec.trial, fold, weights)
    content = merge(fold.preprocessor, fold.encoder, network)
    onnx = OnnxAnswers(content)
    parity = check_parity(network, fold, onnx, data)
    held_out = measure_held_out(data, spec.trial.data.target, fold, onnx)
    signature = signature_document(data, spec.trial.data.target, fold)
    evidence = evidence_document(spec.trial, spec.result, data, training, held_out, parity)
    files = {
        "model.onnx": content,
        "model.keras": keras_file(network),
        "preprocessing.json": _json(
            {"preprocessor": fold.preprocessor.to_json(), "target": fold.encoder.to_json()}
        ),
        "signature.json": _json(signature),
        "held_out.json": json.dumps(held_out.answers, allow_nan=False, ensure_ascii=False).encode(),
    }
    entries = {name: _entry(name, file) for name, file in files.items()}
    evidence["files"] = {
        name: {"sha256": entry["sha256"], "bytes": entry["bytes"]}
        for name, entry in entries.items()
    }
    files["evidence.json"] = _json(evidence)
    entries["evidence.json"] = _entry("evidence.json", files["evidence.json"])
    _write(spec, files, entries)
    return ExportResult(
        files=entries,
        metrics=held_out.metrics,
        baseline=held_out.baseline,
        parity=parity,
        layers=[asdict(layer) for layer in summary.layers(network)],
        summary=summary.text(network),
        parameters=int(network.count_params()),
        signature=signature,
        evidence=evidence,
    )


def _is_refitted(spec: ExportSpec, data: LoadedData) -> bool:
    return spec.refit or len(data.split.folds) > 1


def _with_weights(spec: ExportSpec) -> ExportSpec:
    """The same with the result of a second training, if the weights of the first are gone."""
    again = train_if_missing(spec.trial)
    if again is None:
        return spec
    if again.failure is not None:
        raise RefitError(
            f"Its weights are gone, and trained again, trial {spec.trial.number} failed: "
            f"{again.failure.message}"
        )
    return replace(spec, result=again)


def _weights(spec: ExportSpec, data: LoadedData) -> tuple[PreparedFold, Weights, Training]:
    spent = spec.result.seconds
    if _is_refitted(spec, data):
        fold, trained = refit(data, spec.trial, spec.result)
        training = Training(
            weights="refitted",
            rows=len(fold.training_truth),
            epochs=trained.best_epoch,
            seconds=spent + trained.seconds,
            class_weights=fold.class_factors,
        )
        return fold, trained.weights, training
    rows = data.split.folds[0].train
    best = _best_run(spec)
    weights = load_weights(Artifacts(spec.trial.data.artifacts_root), best.weights)
    fold = prepare_fold(data, spec.trial.data, rows)
    training = Training(
        weights="kept",
        rows=len(rows),
        epochs=best.best_epoch,
        seconds=spent,
        class_weights=fold.class_factors,
    )
    return fold, weights, training


def _best_run(spec: ExportSpec) -> RunReport:
    objective = spec.trial.objective
    return min(spec.result.folds, key=lambda run: objective.loss(run.score))


def _network(trial: TrialSpec, fold: PreparedFold, weights: Weights) -> keras.Model:
    # A learning-rate schedule belongs to the training that is over; whoever trains model.keras on
    # starts from the rate itself.
    values = {**trial.values, "lr_schedule": "constant"}
    data = fold.training
    network = families.build(trial.network, values, data.input_shape, data.outputs, trial.seed)
    network.set_weights(list(weights))
    return network


def keras_file(network: keras.Model) -> bytes:
    """The content of `model.keras`."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        network.save(path)
        return path.read_bytes()


def _json(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, indent=2, allow_nan=False, ensure_ascii=False).encode()


def _entry(name: str, content: bytes) -> dict[str, Any]:
    sha256 = hashlib.sha256(content).hexdigest()
    return {"sha256": sha256, "bytes": len(content), "path": entry_path(name, sha256)}


def _write(
    spec: ExportSpec, files: Mapping[str, bytes], entries: Mapping[str, Mapping[str, Any]]
) -> None:
    artifacts = Artifacts(spec.trial.data.artifacts_root)
    folder = artifact_folder(spec.model, spec.version)
    for name, content in files.items():
        artifacts.write(f"{folder}/{entries[name]['path']}", content)
