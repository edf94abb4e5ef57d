"""Build a version in a trial process: get weights, make the files, check and write them."""

import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import keras

from models.networks import families
from models.registry.catalog.catalog import artifact_folder
from models.registry.certainty.certainty import choose_certainty
from models.registry.certainty.temperature import with_temperature
from models.registry.documents import CALIBRATION_FILE
from models.registry.evidence.document import evidence_document, signature_document
from models.registry.evidence.held_out import measure_held_out
from models.registry.export import ExportResult, ExportSpec
from models.registry.files import entry_of
from models.registry.members import build_members
from models.registry.onnx.interface import describe
from models.registry.onnx.model import OnnxAnswers, merge, preprocess
from models.registry.onnx.parity import check_parity
from models.registry.profile import PROFILE_FILE, profile_document
from models.registry.readme.readme import write_readme
from models.space.hyperparameters import TrialValues
from models.store.artifacts import Artifacts
from models.trials.data import PreparedFold
from models.trials.trainers.keras import released


@dataclass(frozen=True, slots=True)
class Saving:
    """The cost of saving one network as a version."""

    parameters: int
    seconds: float  # of building it, merging its graph and writing both files
    bytes: int  # of `model.onnx` and `model.keras`


def build_version(spec: ExportSpec) -> ExportResult:
    """Write every file of a version under its artifact folder; needs TensorFlow.

    The version is the trial, or an ensemble of it and others that `models.registry.ensemble`
    chooses. Their weights are those of the search. With a refit, or if the trial was
    cross-validated, so that each of its networks missed some of the rows, every member is trained
    once more on all rows but the test rows. If the trial's weights are needed but gone, as those
    of a reused result may be, the trial is trained again first.

    Raises ParityError if the ONNX graph does not answer as the network does, and RefitError if
    training again fails. Nothing is written then.
    """
    members, data = build_members(spec)
    fold, preprocessors = members.folds[0], [each.preprocessor for each in members.folds]
    certainty = choose_certainty(data, spec.trial.data, members, spec.threshold)
    temperature, threshold = certainty.temperature.value, certainty.threshold.value
    averaged = members.network()
    network = with_temperature(averaged, temperature)
    merged = merge(preprocessors, fold.encoder, averaged, temperature)
    onnx = OnnxAnswers.load(merged)
    parity = check_parity(network, members.folds, onnx, data)
    answers = partial(onnx, features=data.features)
    held_out = measure_held_out(spec.trial, data, fold, members.learned, answers, threshold)
    signature = signature_document(data, spec.trial.data.target, fold, threshold)
    evidence = evidence_document(
        spec.trial, spec.result, data, members.training(), held_out.evidence, parity
    )
    evidence |= {"ensemble": members.ensemble(), **certainty.document(held_out)}
    first, *others = (each.to_json() for each in preprocessors)
    preprocessing: dict[str, Any] = {"preprocessor": first, "target": fold.encoder.to_json()}
    if others:  # one for each further input of the network
        preprocessing["other_preprocessors"] = others
    named = (signature, spec.model, spec.version)
    graph = describe(merged, *named)
    readme = write_readme(graph, *named, len(members.listed), len(preprocessors))
    files = {
        "README.md": readme.encode(),
        "model.onnx": graph,
        "model.keras": _keras_file(network),
        "preprocessing.onnx": describe(preprocess(preprocessors).SerializeToString(), *named),
        "preprocessing.json": _json_file(preprocessing),
        "signature.json": _json_file(signature),
        CALIBRATION_FILE: _json_file(certainty.file(), indent=None),
        "held_out.json": _json_file(held_out.answers, indent=None),
        PROFILE_FILE: _json_file(profile_document(*members.learned, data.features), indent=None),
    }
    entries = {name: entry_of(name, content) for name, content in files.items()}
    evidence["files"] = {
        name: {"sha256": entry["sha256"], "bytes": entry["bytes"]}
        for name, entry in entries.items()
    }
    files["evidence.json"] = _json_file(evidence)
    entries["evidence.json"] = entry_of("evidence.json", files["evidence.json"])
    artifacts = Artifacts(spec.trial.data.artifacts_root)
    folder = artifact_folder(spec.model, spec.version)
    for name, content in files.items():
        artifacts.write(f"{folder}/{entries[name]['path']}", content)
    return ExportResult(
        files=entries,
        metrics=held_out.metrics,
        baseline=held_out.baseline,
        parity=parity,
        layers=[asdict(layer) for layer in families.summarize(network)],
        summary=families.summary_text(network),
        parameters=int(network.count_params()),
        signature=signature,
        evidence=evidence,
    )


def measure_savings(
    network: str, several: Sequence[tuple[TrialValues, PreparedFold]]
) -> list[Saving]:
    """Build untrained networks and make the two files of a version that hold each, in memory.

    Each fold has the encoding that its values name.
    """
    with released():
        return [_measure_saving(network, values, fold) for values, fold in several]


def _measure_saving(network: str, values: TrialValues, fold: PreparedFold) -> Saving:
    started = time.perf_counter()
    data = fold.training
    built = families.create(network, values, data.inputs, data.outputs, seed=0)
    graph = merge([fold.preprocessor], fold.encoder, built)
    OnnxAnswers.load(graph)
    size = len(graph) + len(_keras_file(built))
    return Saving(int(built.count_params()), time.perf_counter() - started, size)


def _keras_file(network: keras.Model) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        network.save(path)
        return path.read_bytes()


def _json_file(document: Mapping[str, Any], indent: int | None = 2) -> bytes:
    return json.dumps(document, indent=indent, allow_nan=False, ensure_ascii=False).encode()
