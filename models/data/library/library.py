"""The library of datasets, as the API uses it: it reads, stores, describes and opens them.

pandas, pyarrow and scikit-learn are imported inside the methods that use them: they take a second
and more than 100 MB, which a process that only predicts does not need.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from models.data.library.catalog import DatasetCatalog, DatasetRecord
from models.data.library.profile import preview, profile
from models.data.library.sources import Source, read_source
from models.data.table import ReadOptions, Table
from models.data.warnings import DataWarning
from models.errors import ArtifactError, Invalid, NotFound
from models.settings import Settings
from models.store.artifacts import Artifacts

if TYPE_CHECKING:
    from models.data.dataset import Dataset
    from models.data.formats.limits import TableLimits
    from models.data.library.fetching import Fetcher

AS_DETECTED = ReadOptions()


class DatasetLibrary:
    """The catalog of datasets together with their rows."""

    def __init__(
        self, catalog: DatasetCatalog, artifacts: Artifacts, settings: Settings | None = None
    ) -> None:
        self.catalog = catalog
        self._artifacts = artifacts
        self._settings = settings or Settings()

    def add_file(
        self,
        content: bytes,
        filename: str | None,
        content_type: str | None,
        types: Mapping[str, str],
        name: str | None = None,
        options: ReadOptions = AS_DETECTED,
    ) -> DatasetRecord:
        """Read an uploaded file and store both; equal content is one dataset.

        Raises Invalid at the fault in the file, UnsupportedMediaType for another format.
        """
        source = Source(content, filename, content_type)
        return self._add_source(source, types, name or filename, options)

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
        found = fetcher.fetch(url)
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
        with self._or_not_found(dataset):
            source = read_source(self._artifacts, dataset, known.source)
        return self._add_source(source, types, name or known.name, options)

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
        digest = dataset.digest()
        kept = None if source is None else source.record
        while True:
            size = self._write(digest, dataset, source)
            record = self.catalog.add(
                digest,
                dataset.rows,
                profile(dataset),
                name,
                builtin,
                source=kept,
                reading=reading,
                warnings=warnings,
                size=size,
            )
            if kept is not None and (record.source is None or record.source.sha256 != kept.sha256):
                # The rows are known, out of another file.
                self._artifacts.delete(kept.stored_name(digest))
                source = None
            if self._is_stored(digest, dataset, source):
                break
            # The same dataset was deleted, with its files or before them, in between.
        if reading is None:
            return record
        # Told of the file that was sent, though its rows may have been stored before.
        return replace(record, reading=reading, warnings=tuple(warnings))

    def read_table(
        self,
        content: bytes,
        filename: str | None,
        content_type: str | None,
        options: ReadOptions = AS_DETECTED,
    ) -> Table:
        """Read the table in a file within the limits of the settings, and store nothing."""
        from models.data.formats.reading import read_table

        return read_table(content, filename, content_type, options, self._limits())

    def open(self, dataset: str) -> "Dataset":
        """Read the rows of a stored dataset; raise NotFound if there is none, or Unreadable."""
        from models.data.library.storage import read_dataset

        if not self.catalog.exists(dataset):
            raise NotFound("dataset", dataset)
        with self._or_not_found(dataset):
            return read_dataset(self._artifacts, dataset)

    def preview(self, dataset: str, rows: int) -> Sequence[Mapping[str, Any]]:
        """Return the first rows of a stored dataset as JSON objects."""
        return preview(self.open(dataset), rows)

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
    ) -> DatasetRecord:
        """Read a source and store it; `document` is that of inline rows, parsed."""
        from models.data.formats.reading import read_file, read_rows

        if source.is_inline:
            document = json.loads(source.content) if document is None else document
            typed = read_rows(document, types, options, self._limits())
        else:
            typed = read_file(
                source.content,
                source.filename,
                source.content_type,
                types,
                options,
                self._limits(),
            )
        return self.add(
            typed.dataset, name, source=source, reading=typed.reading, warnings=typed.warnings
        )

    def _write(self, digest: str, dataset: "Dataset", source: Source | None) -> int:
        """Store the files and return their bytes."""
        from models.data.library.storage import write_dataset

        size = 0
        if source is not None:
            self._artifacts.write(source.record.stored_name(digest), source.content)
            size = len(source.content)
        return size + write_dataset(dataset, self._artifacts, digest)

    def _is_stored(self, digest: str, dataset: "Dataset", source: Source | None) -> bool:
        from models.data.library.storage import is_stored

        names = [] if source is None else [source.record.stored_name(digest)]
        return all(map(self._artifacts.exists, names)) and is_stored(
            dataset, self._artifacts, digest
        )

    def _limits(self) -> "TableLimits":
        from models.data.formats.limits import TableLimits

        return TableLimits.of(self._settings)
