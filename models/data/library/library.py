"""The library of datasets, as the API uses it: it reads, stores, describes and opens them.

pandas, pyarrow and scikit-learn are imported inside the methods that use them: they take a second
and more than 100 MB, which a process that only predicts does not need.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from models.data.library.catalog import DatasetCatalog, DatasetRecord
from models.data.library.profile import preview, profile
from models.errors import Invalid, NotFound
from models.settings import Settings
from models.store.artifacts import Artifacts

if TYPE_CHECKING:
    from models.data.dataset import Dataset
    from models.data.formats.limits import TableLimits
    from models.data.library.fetching import Fetcher


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
    ) -> DatasetRecord:
        """Read an uploaded file and store it; equal content is one dataset.

        Raises Invalid at the fault in the file, UnsupportedMediaType for another format.
        """
        from models.data.formats.reading import detect_format, read

        dataset = read(content, detect_format(filename, content_type), types, self._limits())
        return self.add(dataset, name or filename)

    def add_inline(
        self, document: Mapping[str, Any], types: Mapping[str, str], name: str | None = None
    ) -> DatasetRecord:
        """Store rows given as `{"records": [...]}` or arrays given as `{"x": ..., "y": ...}`."""
        from models.data.formats.reading import from_arrays, from_records

        if "records" in document:
            dataset = from_records(document["records"], types, self._limits())
        else:
            dataset = from_arrays(document["x"], document["y"], types, self._limits())
        return self.add(dataset, name)

    def add_url(
        self,
        url: str,
        types: Mapping[str, str],
        name: str | None = None,
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
        return self.add_file(found.content, found.filename, found.content_type, types, name)

    def add(
        self, dataset: "Dataset", name: str | None, builtin: str | None = None
    ) -> DatasetRecord:
        """Store the rows, then the record, so that every record has its rows."""
        from models.data.library.storage import is_stored, write_dataset

        digest = dataset.digest()
        write_dataset(dataset, self._artifacts, digest)
        record = self.catalog.add(digest, dataset.rows, profile(dataset), name, builtin)
        if not is_stored(dataset, self._artifacts, digest):
            # Another process deleted the same dataset, with its rows, in between.
            write_dataset(dataset, self._artifacts, digest)
        return record

    def open(self, dataset: str) -> "Dataset":
        """Read the rows of a stored dataset; raise NotFound if there is none, or Unreadable."""
        from models.data.library.storage import read_dataset

        if not self.catalog.exists(dataset):
            raise NotFound("dataset", dataset)
        return read_dataset(self._artifacts, dataset)

    def preview(self, dataset: str, rows: int) -> Sequence[Mapping[str, Any]]:
        """Return the first rows of a stored dataset as JSON objects."""
        return preview(self.open(dataset), rows)

    def delete(self, dataset: str) -> None:
        """Remove a dataset and its rows; raise Conflict while an unfinished job needs it."""
        self.catalog.remove(dataset, lambda: self._artifacts.delete(f"datasets/{dataset}"))

    def _limits(self) -> "TableLimits":
        from models.data.formats.limits import TableLimits

        return TableLimits.of(self._settings)
