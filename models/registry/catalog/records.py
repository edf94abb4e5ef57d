"""Records of models and versions, as the catalog returns them."""

from dataclasses import dataclass
from datetime import datetime
from functools import cache, cached_property
from typing import Any

from models.errors import Unreadable
from models.registry.catalog.routes import Route
from models.registry.documents import (
    TRAINED,
    Document,
    Figures,
    VersionDocumentsSchema,
    check_document,
    parse_json,
)


@dataclass(frozen=True)
class VersionRecord:
    """One row of `versions`, with the aliases that point at it.

    Its JSON columns are parsed when they are first asked for. One that this version of Luthier
    cannot read raises Unreadable then, so that other versions can still be listed.
    """

    model: str
    version: int
    task: str
    job: str | None
    trial: int | None
    created: datetime
    created_by: str | None  # that of its job
    aliases: tuple[str, ...]
    files_json: str
    details_json: str
    bytes: int  # of its files

    @cached_property
    def files(self) -> dict[str, Document]:
        """The registered entry of each file, by name: "sha256", "bytes" and "path"."""
        files: dict[str, Document] = parse_json(self.files_json, f"the files of {self._name}")
        self._check({"files": files}, "files")
        return files

    @cached_property
    def details(self) -> Document:
        """Results of the export: metrics, baseline, signature, evidence, layers, summary."""
        details: Document = parse_json(self.details_json, f"the details of {self._name}")
        self._check(details, "metrics", "baseline")
        return details

    @property
    def unreadable(self) -> str | None:
        """The reason why its files, metrics or baseline cannot be read; None if they can."""
        try:
            _ = self.files, self.details
        except Unreadable as error:
            return str(error)
        return None

    @property
    def source(self) -> str | None:
        """`trained` or `imported`; None if its details cannot be read."""
        return None if self.unreadable else str(self.details.get("source", TRAINED))

    @property
    def metrics(self) -> Figures | None:
        """Metrics on the test rows, in the target's units; None without any or if unreadable."""
        return None if self.unreadable else self.details["metrics"]

    @property
    def baseline(self) -> Figures | None:
        """The same of always giving the training rows' mean or class shares."""
        return None if self.unreadable else self.details["baseline"]

    @property
    def signature(self) -> Document:
        """Inputs and outputs of the version, as in signature.json."""
        signature: Document = self._detail("signature")
        return signature

    @property
    def evidence(self) -> Document:
        """The reasons to trust the version, as in evidence.json."""
        evidence: Document = self._detail("evidence")
        return evidence

    @property
    def intervals(self) -> Document | None:
        """The 95 % intervals of `metrics`, by name; None in versions before 0.3."""
        found: Document | None = self._measured.get("test", {}).get("intervals")
        return found

    @property
    def baseline_intervals(self) -> Document | None:
        """The same of `baseline`."""
        found: Document | None = self._measured.get("baseline", {}).get("intervals")
        return found

    @property
    def baselines(self) -> Document | None:
        """Simpler models on the test rows, by name; see `documents.BaselineSchema`."""
        return self._measured.get("baselines")

    @property
    def better_than_trees(self) -> bool | str | None:
        """True, False or "undecided"; None where there is nothing to compare."""
        return self._measured.get("better_than_trees")

    @property
    def conclusion(self) -> str | None:
        """The sentence that says so, or why there is nothing to compare."""
        return self._measured.get("conclusion")

    @property
    def promotion(self) -> Document | None:
        """The verdict on it when it was made; see `documents.PromotionSchema`.

        None in versions before 0.3, and where it cannot be read.
        """
        try:
            found: Document | None = self.details.get("promotion")
            self._check(self.details, "promotion")
        except Unreadable:
            return None
        return found

    @property
    def optimism(self) -> Document | None:
        """The score that won the search beside the test score; see `documents.OptimismSchema`."""
        return self._measured.get("optimism")

    @property
    def column_importance(self) -> Document | None:
        """What matters to its answers; see `documents.ColumnImportanceSchema`."""
        return self._measured.get("column_importance")

    @property
    def partial_dependence(self) -> list[Document] | None:
        """The mean answers by value of its first columns; see `documents.DependenceSchema`."""
        return self._measured.get("partial_dependence")

    @property
    def calibration(self) -> Document | None:
        """Its rows, temperature and reliability; see `documents.CalibrationEvidenceSchema`."""
        return self._measured.get("calibration")

    @property
    def threshold(self) -> Document | None:
        """From which probability on it answers the positive class; see docs/certainty.md."""
        return self._measured.get("threshold")

    @property
    def coverage(self) -> list[Document] | None:
        """The share of test rows in intervals by level; see `documents.CoverageSchema`."""
        return self._measured.get("coverage")

    @property
    def layers(self) -> list[Document]:
        """Name, type, output_shape and parameters of each layer."""
        layers: list[Document] = self._detail("layers")
        return layers

    @property
    def summary(self) -> str:
        """The layers as text."""
        summary: str = self._detail("summary")
        return summary

    @property
    def parameters(self) -> int:
        """The number of weights of the network."""
        parameters: int = self._detail("parameters")
        return parameters

    @cached_property
    def _measured(self) -> Document:
        """The evidence, or nothing where it cannot be read, so that the version is listed."""
        try:
            return self.evidence
        except Unreadable:
            return {}

    @property
    def _name(self) -> str:
        return f"version {self.version} of model {self.model!r}"

    def _detail(self, name: str) -> Any:
        self._check(self.details, name)
        return self.details[name]

    def _check(self, document: Any, *fields: str) -> None:
        check_document(document, _schema(fields), self._name)


@dataclass(frozen=True, slots=True)
class ModelRecord:
    """A model with the versions that its aliases point at."""

    name: str
    latest_version: int
    routes: dict[str, Route]  # by alias
    created: datetime  # of its newest version
    bytes: int  # of the files of all versions
    auto_promote: bool  # whether any job that finds a better version moves `champion`
    prediction_log: Document | None = None  # share of requests, and days; None for no log
    rollback_when: Document | None = None  # limits of `models.monitoring.guard`; None for none

    @property
    def aliases(self) -> dict[str, int]:
        """The version that answers all requests to an alias, or most of them."""
        return {alias: route.version for alias, route in self.routes.items()}

    @property
    def rollouts(self) -> dict[str, Route]:
        """The routes with several versions or a shadow, by alias."""
        return {alias: route for alias, route in self.routes.items() if len(route.versions) > 1}


@cache
def _schema(fields: tuple[str, ...]) -> VersionDocumentsSchema:
    return VersionDocumentsSchema(only=fields)
