"""A request for a batch: checked against its version and its rows, then queued."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any, Literal

from models.batches.catalog import BatchCatalog, new_batch_id
from models.batches.model import Batch, BatchSpec, artifact_folder, piece_rows
from models.data.columns import ColumnType
from models.data.library.builtin import PREFIX as BUILTIN_PREFIX
from models.data.library.catalog import DatasetRecord
from models.data.library.library import DatasetLibrary
from models.data.table import ReadOptions
from models.errors import Invalid, NotFound
from models.registry.catalog.catalog import ModelCatalog
from models.serving.engine import AnswerOptions, LoadedVersion, PredictionEngine
from models.serving.signature import ColumnRules
from models.store.artifacts import Artifacts


@dataclass(frozen=True, slots=True)
class BatchRequest:
    """What a caller wants; None stands for the default."""

    model: str
    version: int | None = None
    alias: str | None = None
    format: Literal["csv", "parquet"] = "csv"
    keep: Sequence[str] | Literal["all"] | None = None  # None: what the model does not take
    missing_columns: Literal["error", "null"] = "error"
    interval: float | None = None
    threshold: float | None = None


@dataclass(frozen=True, slots=True)
class File:
    """Rows as a file, and how to read it."""

    content: IO[bytes]
    filename: str | None
    content_type: str | None
    options: ReadOptions


class BatchSubmission:
    """Checks requests for batches and queues them."""

    def __init__(
        self,
        catalog: BatchCatalog,
        models: ModelCatalog,
        datasets: DatasetLibrary,
        predictions: PredictionEngine,
        artifacts: Artifacts,
    ) -> None:
        self._catalog = catalog
        self._models = models
        self._datasets = datasets
        self._predictions = predictions
        self._artifacts = artifacts

    def submit_dataset(self, wanted: BatchRequest, dataset: str) -> Batch:
        """Queue the prediction of a stored dataset, or of a built-in one that a job has loaded.

        Raises NotFound; Invalid at `columns.<name>` for columns that do not fit the version, at
        `keep`, `interval` or `threshold`; TooMany; and what loading the version raises.
        """
        loaded = self._load(wanted)
        record = self._dataset(dataset)
        shapes = {
            column.name: column.shape if column.type is ColumnType.IMAGE else None
            for column in record.columns
        }
        spec = _decide(wanted, loaded, shapes)
        batch = new_batch_id()
        return self._catalog.add(batch, loaded.model, loaded.version, record.id, spec, record.rows)

    def submit_file(self, wanted: BatchRequest, file: File) -> Batch:
        """Store the rows of a file and queue their prediction.

        Every row of the file is one of the result. Raises as `submit_dataset`, and as
        `DatasetLibrary.store_table`.
        """
        loaded = self._load(wanted)
        batch = new_batch_id()
        folder = artifact_folder(batch)
        try:
            stored = self._datasets.store_table(
                file.content, file.filename, file.content_type, file.options, f"{folder}/rows"
            )
            spec = _decide(wanted, loaded, stored.columns)
            return self._catalog.add(batch, loaded.model, loaded.version, None, spec, stored.rows)
        except BaseException:
            self._artifacts.try_delete(folder)
            raise

    def _dataset(self, named: str) -> DatasetRecord:
        if not named.startswith(BUILTIN_PREFIX):
            return self._datasets.catalog.get(named)
        record = self._datasets.catalog.find_builtin(named.removeprefix(BUILTIN_PREFIX))
        if record is None:
            raise NotFound("dataset", named)
        return record

    def _load(self, wanted: BatchRequest) -> LoadedVersion:
        """Return the version that is wanted; raise Invalid if it cannot answer as wanted."""
        version = self._models.resolve(wanted.model, wanted.version, wanted.alias)
        loaded = self._predictions.load(wanted.model, version)
        sample = loaded.signature.feed([loaded.signature.sample], ColumnRules("ignore", "null"))
        loaded.answer(sample, AnswerOptions(wanted.interval, wanted.threshold))
        return loaded


def _decide(
    wanted: BatchRequest, loaded: LoadedVersion, columns: Mapping[str, Sequence[int] | None]
) -> BatchSpec:
    """Return the decided request; `columns` has the shape of images, None for other columns."""
    signature = loaded.signature
    signature.check_names(columns, ColumnRules("ignore", wanted.missing_columns))
    taken = [name for name in columns if signature.takes(name)]
    if not taken:
        raise Invalid.at("columns", "There is no column that the model takes.")
    tabular = [name for name, shape in columns.items() if shape is None]
    keep: Sequence[str]
    if wanted.keep is None:
        keep = [name for name in tabular if name not in taken]
    elif wanted.keep == "all":
        keep = tabular
    else:
        keep = _checked_keep(wanted.keep, columns, tabular)
    cells = sum(math.prod(columns[name] or ()) for name in dict.fromkeys([*taken, *keep]))
    return BatchSpec(
        format=wanted.format,
        keep=tuple(keep),
        piece_rows=piece_rows(cells),
        missing_columns=wanted.missing_columns,
        interval=wanted.interval,
        threshold=wanted.threshold,
    )


def _checked_keep(
    named: Sequence[str], columns: Mapping[str, Any], tabular: Sequence[str]
) -> Sequence[str]:
    errors: dict[str, list[str]] = {}
    for place, name in enumerate(named):
        if name not in columns:
            errors[f"keep.{place}"] = [f"There is no column {name!r} in the rows."]
        elif name not in tabular:
            errors[f"keep.{place}"] = ["Images are not kept."]
        elif name in named[:place]:
            errors[f"keep.{place}"] = ["It is named twice."]
    if errors:
        raise Invalid(errors)
    return named
