# Made by client/unasync.py from _async/datasets.py; change that.
"""Calls about datasets."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from luthier.client._sync.transport import Transport
from luthier.client.records import Dataset
from luthier.client.requests import quoted, reading_form, upload_of

if TYPE_CHECKING:
    import pandas as pd


class DatasetCalls(Transport):
    """Store, show and delete datasets."""

    def upload(
        self,
        data: "str | Path | pd.DataFrame",
        types: Mapping[str, str] | None = None,
        name: str | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> Dataset:
        """Upload a file or a DataFrame as a dataset and return its id, rows and columns.

        `options` say how the file is to be read, where that shall not be detected.
        """
        form = reading_form(types, options) | ({"name": name} if name else {})
        return Dataset(self._upload("/datasets", upload_of(data, name or "data"), form))

    def read_again(self, dataset: str, **changes: Any) -> Dataset:
        """Read the file of a dataset anew, with other `types=` or `options=`."""
        return Dataset(self._call("POST", "/datasets", json={"from": dataset, **changes}))

    def datasets(self, limit: int | None = None) -> list[Dataset]:
        """Return the newest datasets, or all."""
        return [Dataset(found) for found in self._pages("/datasets", {}, limit)]

    def dataset(self, dataset: str) -> Dataset:
        """Return a dataset with its columns."""
        return Dataset(self._call("GET", f"/datasets/{quoted(dataset)}"))

    def preview(self, dataset: str, rows: int = 10) -> list[dict[str, Any]]:
        """Return the first rows of a dataset."""
        answer = self._call("GET", f"/datasets/{quoted(dataset)}/preview", params={"rows": rows})
        items: list[dict[str, Any]] = answer["items"]
        return items

    def delete_dataset(self, dataset: str) -> None:
        """Delete a dataset that no unfinished job needs."""
        self.request("DELETE", f"/datasets/{quoted(dataset)}")
