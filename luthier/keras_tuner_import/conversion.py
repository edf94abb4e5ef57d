"""The space and trials of a Keras Tuner project as a tuning request."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from marshmallow import ValidationError

from luthier.keras_tuner_import.project import Project, ProjectError, ProjectTrial
from models.space.hyperparameters import Hyperparameter, Kind, hyperparameters_of
from models.space.schema import load_space

# Usual names in scripts, without `_` -> the hyperparameter of Luthier.
ALIASES: Mapping[str, str] = {
    "lr": "learning_rate",
    "rate": "learning_rate",
    "layers": "num_layers",
    "nlayers": "num_layers",
    "hiddenlayers": "num_layers",
    "numhiddenlayers": "num_layers",
    "neurons": "units",
    "nunits": "units",
    "numunits": "units",
    "hiddenunits": "units",
    "denseunits": "units",
    "denseactivation": "activation",
    "dropoutrate": "dropout",
    "batchnorm": "batch_normalization",
    "usebatchnorm": "batch_normalization",
    "opt": "optimizer",
    "l1reg": "l1",
    "l2reg": "l2",
    "initializer": "kernel_initializer",
}
_VALUE_ALIASES: Mapping[object, str] = {"swish": "silu", "leakyrelu": "leaky_relu"}
_METRIC_ALIASES: Mapping[str, str] = {
    "mean_squared_error": "mse",
    "mean_absolute_error": "mae",
    "root_mean_squared_error": "rmse",
    "r2_score": "r2",
    "binary_accuracy": "accuracy",
    "categorical_accuracy": "accuracy",
    "sparse_categorical_accuracy": "accuracy",
}
_METRICS = {"loss", "mse", "mae", "rmse", "r2", "accuracy", "auc", "precision", "recall"}
_INDEXED = re.compile(r"(.+?)_?(\d+)")


@dataclass
class Conversion:
    """A tuning request without data, and what it could not take over."""

    request: dict[str, Any]
    notes: list[str] = field(default_factory=list)


def convert(
    project: Project, renamed: Mapping[str, str], network: str = "mlp", best: int = 10
) -> Conversion:
    """Make a request of the space and the `best` trials of a project.

    `renamed` maps names of the project to hyperparameters of Luthier. Nothing is left out without
    a note.
    """
    space = _SpaceConversion(project, renamed, network)
    request: dict[str, Any] = {"network": network, "search_space": space.entries}
    request |= _objective(project, space.notes)
    strategy = _strategy(project.oracle)
    initial = space.trials(project.trials[:best])
    if initial:
        strategy["initial_trials"] = initial
    request["strategy"] = strategy
    if strategy["name"] != "hyperband" and project.oracle.get("end_order"):
        request["budget"] = {"max_trials": len(project.oracle["end_order"])}
    return Conversion(request, space.notes)


class _SpaceConversion:
    """The entries of a search space, and the way of each value into it."""

    def __init__(self, project: Project, renamed: Mapping[str, str], network: str) -> None:
        self.notes: list[str] = []
        self.entries: dict[str, Any] = {}
        self._known = hyperparameters_of(network)
        self._network = network
        self._places = {
            name: self._place(name, renamed)
            for name in (each["config"]["name"] for each in project.space)
        }
        for name in sorted(set(renamed) - set(self._places)):
            self.notes.append(f"{name}: the project has no hyperparameter of this name.")
        layered: dict[str, list[tuple[str, Any]]] = {}
        for each in project.space:
            name = each["config"]["name"]
            row = self._places[name][0]
            if row is None:
                self.notes.append(
                    f"{name}: Luthier has no such hyperparameter. Its values are left out. If it"
                    f" has another name there, repeat with --rename {name}=NAME."
                )
                continue
            entry = self._entry(row, each)
            if entry is not None:
                layered.setdefault(row.name, []).append((name, entry))
        for target, found in layered.items():
            self._add(self._known[target], found)
        self._drop_illegal()

    def trials(self, trials: Iterable[ProjectTrial]) -> list[dict[str, Any]]:
        """Return the values of trials, each once; those that are illegal get a note."""
        space = load_space(self.entries, self._network)
        found: list[dict[str, Any]] = []
        for trial in trials:
            values = self._values(trial)
            try:
                full = space.check(values)
            except ValidationError as error:
                self.notes.append(f"trial {trial.number} is left out: {_in_words(error.messages)}")
                continue
            kept = {name: value for name, value in full.items() if name in values}
            if kept not in found:
                found.append(kept)
        return found

    def _place(self, name: str, renamed: Mapping[str, str]) -> tuple[Hyperparameter | None, int]:
        """Return the hyperparameter that a name stands for, and its layer from 0, or -1."""
        if row := self._row(name, renamed):
            return row, -1
        indexed = _INDEXED.fullmatch(name)
        row = self._row(indexed[1], renamed) if indexed else None
        if indexed is None or row is None or row.layers is None:
            return None, -1
        return row, int(indexed[2])

    def _row(self, name: str, renamed: Mapping[str, str]) -> Hyperparameter | None:
        plain = name.lower().replace("_", "").replace("-", "").replace(" ", "")
        own = {known.replace("_", ""): known for known in self._known}
        target = renamed.get(name) or own.get(plain) or ALIASES.get(plain)
        if name in renamed and target not in self._known:
            raise ProjectError(f"--rename {name}={target}: {self._network} has no {target!r}.")
        return self._known.get(target or "")

    def _entry(self, row: Hyperparameter, each: Mapping[str, Any]) -> Any:
        """Return the entry of one hyperparameter, or None with a note."""
        config, kind = each["config"], each["class_name"]
        if kind == "Fixed":
            return self._legal(row, config["name"], [config["value"]], fixed=True)
        if kind == "Choice":
            legal = self._legal(row, config["name"], config["values"])
            entry = legal and {"type": "choice", "values": legal}
        elif kind == "Boolean" and row.kind is Kind.BOOLEAN:
            entry = {"type": "boolean"}
        elif kind == "Int" and row.kind is Kind.FLOAT:
            step = config["step"] or 1
            values = list(range(config["min_value"], config["max_value"] + 1, step))
            entry = {"type": "choice", "values": values}
        elif kind in ("Int", "Float") and row.kind.value == kind.lower():
            entry = self._range(config, kind)
        else:
            self.notes.append(f"{config['name']}: {row.name} takes no {kind} values; left out.")
            return None
        conditions = self._conditions(row, config) if entry else {}
        return entry and (entry | ({"when": conditions} if conditions else {}))

    def _range(self, config: Mapping[str, Any], kind: str) -> dict[str, Any]:
        entry = {"type": kind.lower(), "min": config["min_value"], "max": config["max_value"]}
        step, sampling = config["step"], config["sampling"] or "linear"
        if sampling == "reverse_log":
            self.notes.append(
                f"{config['name']}: Luthier has no reverse_log sampling; it is linear now."
            )
            sampling, step = "linear", None
        if step is not None and not (kind == "Int" and step == 1 and sampling == "linear"):
            entry["step"] = step
        return entry | ({"sampling": "log"} if sampling == "log" else {})

    def _legal(
        self, row: Hyperparameter, name: str, values: Iterable[Any], fixed: bool = False
    ) -> Any:
        """Return the values that Luthier has, in its spelling; a note names the others."""
        legal, illegal = [], []
        for value in values:
            spelled = _spelled(row, value)
            try:
                legal.append(row.parse(spelled))
            except ValueError:
                illegal.append(value)
        if illegal:
            self.notes.append(f"{name}: Luthier has no {row.name} {_listed(illegal)}; left out.")
        unique = list(dict.fromkeys(legal))
        return (unique[0] if fixed else unique) if unique else None

    def _conditions(self, row: Hyperparameter, config: Mapping[str, Any]) -> dict[str, list[Any]]:
        found: dict[str, list[Any]] = {}
        for condition in config["conditions"]:
            parent, values = condition["config"]["name"], condition["config"]["values"]
            parent_row, _ = self._places.get(parent, (None, -1))
            if parent_row is None:
                self.notes.append(
                    f"{config['name']}: it depended on {parent}, which was left out. It is"
                    " searched in every trial now."
                )
            elif parent_row.name != row.layers:  # a layer that is not there has no value anyway
                legal = [_spelled(parent_row, value) for value in values]
                found[parent_row.name] = [
                    value
                    for value in legal
                    if not parent_row.choices or value in parent_row.choices
                ]
        return found

    def _add(self, row: Hyperparameter, found: list[tuple[str, Any]]) -> None:
        """Add an entry; several of the layers of one hyperparameter become one for each layer."""
        names = [name for name, _ in found]
        entry, *others = [entry for _, entry in found]
        if any(other != entry for other in others):
            entry = _union([entry, *others])
            self.notes.append(
                f"{', '.join(names)}: the layers share one range in Luthier, the union of theirs."
            )
        layers = sorted({self._places[name][1] for name in names} - {-1})
        if layers and row.layers and isinstance(entry, dict):
            entry = entry | {"per_layer": True}
            counted = {place.name for place, _ in self._places.values() if place}
            if row.layers not in counted and row.layers not in self.entries:
                self.entries[row.layers] = len(layers)
        self.entries[row.name] = entry

    def _drop_illegal(self) -> None:
        """Leave out entries that Luthier refuses, with its reason."""
        while self.entries:
            try:
                load_space(self.entries, self._network)
            except ValidationError as error:
                for name, messages in dict(error.messages).items():  # type: ignore[arg-type]
                    self.notes.append(f"{name} is left out of the space: {_in_words(messages)}")
                    del self.entries[name]
            else:
                return

    def _values(self, trial: ProjectTrial) -> dict[str, Any]:
        values: dict[str, Any] = {}
        layers: dict[str, dict[int, Any]] = {}
        for name, value in trial.values.items():
            row, layer = self._places.get(name, (None, -1))
            if row is None or row.name not in self.entries:
                continue
            if layer < 0:
                values[row.name] = _spelled(row, value)
            else:
                layers.setdefault(row.name, {})[layer] = _spelled(row, value)
        for target, by_layer in layers.items():
            counter = self._known[target].layers
            count = values.get(counter or "", self.entries.get(counter or ""))
            in_order = [by_layer[layer] for layer in sorted(by_layer)]
            values[target] = in_order[:count] if isinstance(count, int) else in_order
        return {name: value for name, value in values.items() if self._applies(name, values)}

    def _applies(self, name: str, values: Mapping[str, Any]) -> bool:
        # Keras Tuner keeps values of hyperparameters that were not active.
        entry = self.entries[name]
        own = entry.get("when", {}) if isinstance(entry, dict) else {}
        rules = [*own.items(), *((rule.parent, rule.values) for rule in self._known[name].when)]
        return all(
            values.get(parent, self._known[parent].default) in allowed for parent, allowed in rules
        )


def _strategy(oracle: Mapping[str, Any]) -> dict[str, Any]:
    """Return the strategy of an oracle, which only its own fields betray."""
    if "brackets" in oracle:
        kept = ("max_epochs", "factor", "min_epochs")
        return {"name": "hyperband"} | {name: oracle[name] for name in kept if name in oracle}
    return {"name": "bayesian" if "beta" in oracle and "alpha" in oracle else "auto"}


def _objective(project: Project, notes: list[str]) -> dict[str, Any]:
    if project.objective is None:
        return {}
    name, direction = project.objective
    prefix = "val_" if name.startswith("val_") else ""
    metric = _METRIC_ALIASES.get(name.removeprefix("val_"), name.removeprefix("val_"))
    if metric not in _METRICS:
        notes.append(
            f"objective {name} ({direction}): Luthier has no such metric; the request has val_loss."
        )
        return {}
    return {"objective": f"{prefix}{metric}"}


def _union(entries: list[Any]) -> Any:
    if all(isinstance(entry, dict) and "min" in entry for entry in entries):
        low, high = min(e["min"] for e in entries), max(e["max"] for e in entries)
        return {name: value for name, value in entries[0].items() if name != "step"} | {
            "min": low,
            "max": high,
        }
    listed = [e["values"] if isinstance(e, dict) and "values" in e else [e] for e in entries]
    return {"type": "choice", "values": list(dict.fromkeys(v for part in listed for v in part))}


def _spelled(row: Hyperparameter, value: Any) -> Any:
    """Return a value as Luthier spells it: `Adam` is `adam`, `swish` is `silu`."""
    if row.kind is Kind.FLOAT and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, str) and value not in row.choices:
        plain = value.lower()
        return _VALUE_ALIASES.get(plain, plain)
    return value


def _listed(values: Iterable[Any]) -> str:
    return ", ".join(map(str, values))


def _in_words(messages: Any) -> str:
    """Return nested messages in one line."""
    if isinstance(messages, dict):
        return " ".join(f"{name}: {_in_words(inner)}" for name, inner in messages.items())
    return " ".join(messages) if isinstance(messages, list) else str(messages)
