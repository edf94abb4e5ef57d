"""Datasets as the API and workers use them: read, kept, described and opened again.

pandas, pyarrow and scikit-learn are imported where they are used: together they cost a second and
more than 100 MB, which a process that only predicts never needs.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from models.data.library.catalog import DatasetCatalog, DatasetRecord
from models.errors import Invalid
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
        """Read an uploaded file and keep it; the same content twice is one dataset.

        Raises Invalid with the place of the fault, UnsupportedMediaType for a format not read.
        """
        from models.data.formats.reading import detect_format, read

        dataset = read(content, detect_format(filename, content_type), types, self._limits())
        return self.add(dataset, name or filename)

    def add_inline(
        self, document: Mapping[str, Any], types: Mapping[str, str], name: str | None = None
    ) -> DatasetRecord:
        """Keep rows given as `{"records": [...]}` or arrays given as `{"x": ..., "y": ...}`."""
        from models.data.formats.reading import from_arrays, from_records

        if "records" in document:
            dataset = from_records(document["records"], types, self._limits())
        else:
            dataset = from_arrays(document["x"], document["y"], types, self._limits())
        return self.add(dataset, name)

    def add_url(self, url: str, types: Mapping[str, str], name: str | None = None) -> DatasetRecord:
        """Fetch a file from one of the hosts that the settings name, and keep it.

        Raises Invalid at `url` for what may not or cannot be fetched, TooLarge, and as `add_file`.
        """
        from models.data.library.fetching import Fetcher, parse_hosts

        hosts = parse_hosts(self._settings.dataset_url_hosts)
        if not hosts:
            raise Invalid.at("url", "No host is named in LUTHIER_DATASET_URL_HOSTS.")
        return self.add_fetched(Fetcher(hosts, self._settings.max_body_bytes), url, types, name)

    def add_fetched(
        self, fetcher: "Fetcher", url: str, types: Mapping[str, str], name: str | None = None
    ) -> DatasetRecord:
        """Keep the file that `fetcher` finds at `url`."""
        found = fetcher.fetch(url)
        return self.add_file(found.content, found.filename, found.content_type, types, name)

    def add(
        self, dataset: "Dataset", name: str | None, builtin: str | None = None
    ) -> DatasetRecord:
        """Store the rows first and the record last, so that every record has its rows."""
        from models.data.library.profile import profile
        from models.data.library.storage import is_stored, write_dataset

        digest = dataset.digest()
        write_dataset(dataset, self._artifacts, digest)
        record = self.catalog.add(digest, dataset.rows, profile(dataset), name, builtin)
        if not is_stored(dataset, self._artifacts, digest):
            # Between the two, another process deleted the same dataset with its rows.
            write_dataset(dataset, self._artifacts, digest)
        return record

    def open(self, dataset: str) -> "Dataset":
        """The rows of a stored dataset; NotFound if there is none."""
        from models.data.library.storage import read_dataset

        return read_dataset(self._artifacts, self.catalog.get(dataset).id)

    def preview(self, dataset: str, rows: int) -> Sequence[Mapping[str, Any]]:
        """The first rows of a stored dataset, with values as JSON has them."""
        from models.data.library.profile import preview

        return preview(self.open(dataset), rows)

    def delete(self, dataset: str) -> None:
        """Remove a dataset and its rows; Conflict while a job needs it."""
        self.catalog.remove(dataset, lambda: self._artifacts.delete(f"datasets/{dataset}"))

    def _limits(self) -> "TableLimits":
        from models.data.formats.limits import TableLimits

        return TableLimits.of(self._settings)
