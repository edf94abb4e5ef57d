"""The project folder of a Keras Tuner search, as it was written."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.errors import LuthierError

# Written into the values by the Hyperband oracle.
_OF_THE_TUNER = "tuner/"


class ProjectError(LuthierError):
    """The folder is no project of Keras Tuner, or it cannot be read."""


@dataclass(frozen=True)
class ProjectTrial:
    """A finished trial."""

    number: str  # Keras Tuner's id
    values: Mapping[str, Any]
    score: float
    metrics: Mapping[str, tuple[str, float]]  # direction and mean value at the best step


@dataclass(frozen=True)
class Project:
    """What a project folder holds."""

    oracle: Mapping[str, Any]
    space: tuple[Mapping[str, Any], ...]  # `class_name` and `config`, as they were written
    trials: tuple[ProjectTrial, ...]  # best first

    @property
    def objective(self) -> tuple[str, str] | None:
        """The metric whose values are the scores, and its direction."""
        shared: set[tuple[str, str]] | None = None
        for trial in self.trials:
            fitting = {
                (name, direction)
                for name, (direction, value) in trial.metrics.items()
                if value == trial.score
            }
            shared = fitting if shared is None else shared & fitting
        return min(shared, key=lambda each: not each[0].startswith("val_")) if shared else None


def read_project(folder: Path) -> Project:
    """Read `oracle.json` and each `trial_*/trial.json` of a folder of Keras Tuner 1.4."""
    oracle = _read(folder / "oracle.json")
    known = oracle.get("hyperparameters")
    space = known.get("space") if isinstance(known, dict) else None
    if not isinstance(space, list):
        raise ProjectError(f"{folder / 'oracle.json'} has no hyperparameters.")
    found = []
    for path in sorted(folder.glob("trial_*/trial.json")):
        trial = _read(path)
        if trial.get("status") == "COMPLETED" and trial.get("score") is not None:
            try:
                found.append(_trial(trial))
            except (AttributeError, KeyError, TypeError, ValueError):
                raise ProjectError(f"{path} is no trial of Keras Tuner 1.4.") from None
    directions = {direction for trial in found for direction in _directions(trial)}
    found.sort(key=lambda trial: trial.score, reverse=directions == {"max"})
    return Project(oracle, tuple(space), tuple(found))


def _trial(trial: Mapping[str, Any]) -> ProjectTrial:
    values = {
        name: value
        for name, value in trial["hyperparameters"]["values"].items()
        if not name.startswith(_OF_THE_TUNER)
    }
    metrics = {}
    for name, history in trial["metrics"]["metrics"].items():
        for seen in history["observations"]:
            if seen["step"] == trial.get("best_step") and seen["value"]:
                mean = sum(seen["value"]) / len(seen["value"])
                metrics[name] = (history["direction"], mean)
    return ProjectTrial(trial["trial_id"], values, float(trial["score"]), metrics)


def _directions(trial: ProjectTrial) -> set[str]:
    return {direction for direction, value in trial.metrics.values() if value == trial.score}


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ProjectError(f"{path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise ProjectError(f"{path} is no JSON.") from error
    if not isinstance(found, dict):
        raise ProjectError(f"{path} holds no JSON object.")
    return found
