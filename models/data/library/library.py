"""The library of datasets, as the API uses it: it reads, stores, describes and opens them.

pandas, pyarrow and scikit-learn are imported inside the methods that use them: they take a second
and more than 100 MB, which a process that only predicts does not need.
"""

import io
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from functools import partial
from typing import IO, TYPE_CHECKING, Any

from models.data.library.catalog import DatasetCatalog, DatasetRecord
from models.data.library.profile import preview
from models.data.library.sources import Source, SourceRecord, StoredTable, read_source
from models.data.library.turns import LARGE_BYTES, LARGE_CELLS, Turns
from models.data.library.upload_process import (
    UploadTask,
    store_in_process,
    store_table_in_process,
)
from models.data.table import ReadOptions, Table
from models.data.warnings import DataWarning
from models.errors import ArtifactError, Invalid, NotFound, TooLarge
from models.settings import Settings
from models.store.artifacts import Artifacts

if TYPE_CHECKING:
    from models.data.dataset import Dataset
    from models.data.formats.limits import TableLimits
    from models.data.library.fetching import Fetcher
    from models.data.library.storing import StoredRows

AS_DETECTED = ReadOptions()
_SMALL_INFLATED = 32 * 1024**2  # bytes that a file may unpack to which is read in this process


class DatasetLibrary:
    """The catalog of datasets together with their rows."""

    def __init__(
        self,
        catalog: DatasetCatalog,
        artifacts: Artifacts,
        settings: Settings | None = None,
        turns: Turns | None = None,
    ) -> None:
        self.catalog = catalog
        self._artifacts = artifacts
        self._settings = settings or Settings()
        self._turns = turns or Turns()

    def add_file(
        self,
        content: bytes | IO[bytes],
        filename: str | None,
        content_type: str | None,
        types: Mapping[str, str],
        name: str | None = None,
        options: ReadOptions = AS_DETECTED,
    ) -> DatasetRecord:
        """Read an uploaded file and store both; equal content is one dataset.

        A process of its own reads a large file, one that unpacks to much, and a workbook. Raises
        Invalid at the fault in the file, UnsupportedMediaType for another format.
        """
        stream = io.BytesIO(content) if isinstance(content, bytes) else content
        size = stream.seek(0, os.SEEK_END)
        name = name or filename
        if size <= LARGE_BYTES:
            stream.seek(0)
            source = Source(stream.read(), filename, content_type)
            try:
                return self._add_source(source, types, name, options, limits=self._small_limits())
            except TooLarge:
                pass  # the process may take more memory
        task = self._task(filename, content_type, types, options)
        return self._store(partial(self._in_process, task, stream), name)

    def add_inline(
        self,
        document: Mapping[str, Any],
        types: Mapping[str, str],
        name: str | None = None,
        options: ReadOptions = AS_DETECTED,
    ) -> DatasetRecord:
        """Store rows given as `{"records": [...]}` or arrays given as `{"x": ..., "y": ...}`."""
        return self._add_source(Source.of_rows(document), types, name, options, document)

    def add_url(
        self,
        url: str,
        types: Mapping[str, str],
        name: str | None = None,
        options: ReadOptions = AS_DETECTED,
        fetcher: "Fetcher | None" = None,
    ) -> DatasetRecord:
        """Fetch a file from one of the hosts that the settings allow, and store it.

        Raises Invalid at `url` if it may not or cannot be fetched, TooLarge, and as `add_file`.
        """
        from models.data.library.fetching import Fetcher, parse_hosts

        if fetcher is None:
            hosts = parse_hosts(self._settings.dataset_url_hosts)
            if not hosts:
                raise Invalid.at("url", "No host is named in LUTHIER_DATASET_URL_HOSTS.")
            fetcher = Fetcher(hosts, self._settings.max_body_bytes)
        with fetcher.fetch(url) as found:
            return self.add_file(
                found.content, found.filename, found.content_type, types, name, options
            )

    def add_from(
        self,
        dataset: str,
        types: Mapping[str, str],
        name: str | None = None,
        options: ReadOptions = AS_DETECTED,
    ) -> DatasetRecord:
        """Read the stored file of a dataset anew; types and options of the dataset are not kept.

        Raises NotFound for no such dataset, Invalid at `from` for one whose file was not stored,
        and as `add_file`.
        """
        known = self.catalog.find(dataset)
        if known.source is None:
            raise Invalid.at(
                "from",
                f"The file of dataset {dataset} is not stored: a built-in one has none, and older"
                " versions kept none. Upload it again.",
            )
        source, name = known.source, name or known.name
        stored = source.stored_name(dataset)
        if self._artifacts.size(stored) <= LARGE_BYTES:
            with self._or_not_found(dataset):
                read = read_source(self._artifacts, stored, source)
            try:
                return self._add_source(read, types, name, options, limits=self._small_limits())
            except TooLarge:
                pass
        task = replace(
            self._task(source.filename, source.content_type, types, options),
            stored=(stored, source.sha256),
            is_inline=source.is_inline,
        )
        return self._store(partial(self._in_process, task, None), name)

    def add(
        self,
        dataset: "Dataset",
        name: str | None,
        builtin: str | None = None,
        *,
        source: Source | None = None,
        reading: Mapping[str, Any] | None = None,
        warnings: Sequence[DataWarning] = (),
    ) -> DatasetRecord:
        """Store the rows and the source, then the record, so that every record has both."""
        from models.data.library.storing import store_rows

        def store() -> "StoredRows":
            found = store_rows(dataset, self._artifacts, source)
            return replace(found, reading=reading, warnings=tuple(warnings))

        return self._store(store, name, builtin)

    def read_table(
        self,
        content: bytes,
        filename: str | None,
        content_type: str | None,
        options: ReadOptions = AS_DETECTED,
    ) -> Table:
        """Read a table that fits into memory, such as rows to predict, and store nothing."""
        from models.data.formats.reading import read_table

        return read_table(content, filename, content_type, options, self._small_limits())

    def store_table(
        self,
        content: IO[bytes],
        filename: str | None,
        content_type: str | None,
        options: ReadOptions,
        folder: str,
    ) -> StoredTable:
        """Store each row of a file in a folder, as the file has it; raises as `add_file`."""
        from models.data.library.storing import store_table

        if content.seek(0, os.SEEK_END) <= LARGE_BYTES:
            content.seek(0)
            source = Source(content.read(), filename, content_type)
            with suppress(TooLarge):  # the process may take more memory
                return store_table(source, options, self._small_limits(), self._artifacts, folder)
        task = replace(self._task(filename, content_type, {}, options), rows_folder=folder)
        with self._process_turn():
            return store_table_in_process(task, content)

    def open(self, dataset: str) -> "Dataset":
        """Read the rows of a stored dataset; raise NotFound if there is none, or Unreadable."""
        from models.data.library.storage import read_dataset

        if not self.catalog.exists(dataset):
            raise NotFound("dataset", dataset)
        with self._or_not_found(dataset):
            return read_dataset(self._artifacts, dataset)

    @contextmanager
    def opened(self, record: DatasetRecord) -> "Iterator[Dataset]":
        """Hold the rows of a stored dataset while the block runs; few hold large ones at once."""
        with self._turn(record):
            yield self.open(record.id)

    def preview(self, dataset: str, rows: int) -> Sequence[Mapping[str, Any]]:
        """Return the first rows of a stored dataset as JSON objects."""
        from models.data.library.storage import read_dataset

        with self._turn(self.catalog.find(dataset)):
            return preview(read_dataset(self._artifacts, dataset, rows), rows)

    @contextmanager
    def _or_not_found(self, dataset: str) -> Iterator[None]:
        """Raise NotFound in place of ArtifactError for a dataset that was deleted meanwhile."""
        try:
            yield
        except ArtifactError:
            if not self.catalog.exists(dataset):
                raise NotFound("dataset", dataset) from None
            raise

    def _add_source(
        self,
        source: Source,
        types: Mapping[str, str],
        name: str | None,
        options: ReadOptions,
        document: Any = None,
        limits: "TableLimits | None" = None,
    ) -> DatasetRecord:
        """Read a source in this process and store it; `document` is that of inline rows."""
        from models.data.library.storing import store_source

        limits = limits or self._limits()
        store = partial(store_source, source, types, options, limits, self._artifacts, document)
        return self._store(store, name)

    def _store(
        self, store: Callable[[], "StoredRows"], name: str | None, builtin: str | None = None
    ) -> DatasetRecord:
        """Store files by `store`, then the record."""
        while True:
            stored = store()
            record = self.catalog.add(
                stored.id,
                stored.rows,
                stored.columns,
                name,
                builtin,
                source=stored.source,
                reading=stored.reading,
                warnings=stored.warnings,
                size=stored.bytes,
            )
            kept = stored.source
            if kept is not None and (record.source is None or record.source.sha256 != kept.sha256):
                # The rows are known, out of another file.
                self._artifacts.delete(kept.stored_name(stored.id))
                kept = None
            if self._is_stored(stored, kept):
                break
            # The same dataset was deleted, with its files or before them, in between.
        if stored.reading is None:
            return record
        # Told of the file that was sent, though its rows may have been stored before.
        return replace(record, reading=stored.reading, warnings=stored.warnings)

    def _in_process(self, task: UploadTask, content: IO[bytes] | None) -> "StoredRows":
        with self._process_turn():
            return store_in_process(task, content)

    @contextmanager
    def _process_turn(self) -> Iterator[None]:
        """Hold a turn for a process that reads a file."""
        with self._turns.take():
            self._artifacts.check(writes=False)  # makes a new root, as the process may not
            yield

    def _task(
        self,
        filename: str | None,
        content_type: str | None,
        types: Mapping[str, str],
        options: ReadOptions,
    ) -> UploadTask:
        return UploadTask(
            self._artifacts.root,
            self._settings.upload_memory,
            asdict(self._limits()),
            filename,
            content_type,
            types,
            options,
        )

    def _is_stored(self, stored: "StoredRows", source: SourceRecord | None) -> bool:
        from models.data.library.storage import is_stored

        names = [] if source is None else [source.stored_name(stored.id)]
        return all(map(self._artifacts.exists, names)) and is_stored(
            stored.columns, self._artifacts, stored.id
        )

    @contextmanager
    def _turn(self, record: DatasetRecord) -> Iterator[None]:
        """Hold a turn for a dataset that takes much memory."""
        if record.rows * max(1, len(record.columns)) <= LARGE_CELLS:
            yield
        else:
            with self._turns.take():
                yield

    def _limits(self) -> "TableLimits":
        from models.data.formats.limits import TableLimits

        return TableLimits.of(self._settings)

    def _small_limits(self) -> "TableLimits":
        """Return limits with which a file takes little memory, whatever it holds.

        The reader of workbooks allocates what the file says and ends the process where that is not
        to be had, so it never runs in this one.
        """
        limits = self._limits()
        inflated = min(limits.inflated_bytes, _SMALL_INFLATED)
        return replace(limits, inflated_bytes=inflated, workbooks=False)
