"""Calls about models and predictions, and the handle of a model."""

import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, overload

from luthier.client._async.datasets import AsyncDatasetCalls
from luthier.client.frames import PARQUET, is_frame, joined, parts, predictions_of, to_parquet
from luthier.client.records import html_table
from luthier.client.requests import quoted, upload_of

if TYPE_CHECKING:
    import pandas as pd


class AsyncModel(dict[str, Any]):
    """A model: the answer of the service, with methods for what can be done to it."""

    def __init__(self, client: "AsyncModelCalls", answer: dict[str, Any]) -> None:
        super().__init__(answer)
        self._client = client

    @property
    def name(self) -> str:
        """The name that predictions ask for."""
        return str(self["name"])

    @property
    def champion(self) -> int | None:
        """The version that answers by default; None if there is none, or several by weight."""
        found: int | None = self["aliases"].get("champion")
        return found

    async def refresh(self) -> Self:
        """Read the model anew."""
        answer = await self._client.model(self.name)
        self.clear()
        self.update(answer)
        return self

    @overload
    async def predict(self, rows: "pd.DataFrame", **options: Any) -> "pd.DataFrame": ...
    @overload
    async def predict(self, rows: Sequence[Any], **options: Any) -> dict[str, Any]: ...
    async def predict(self, rows: Any, **options: Any) -> Any:
        """Predict rows; a DataFrame gives a DataFrame with the same index."""
        return await self._client.predict(self.name, rows, **options)

    async def version(self, number: int | None = None) -> dict[str, Any]:
        """Return a version, the champion or else the newest, with its evidence and signature."""
        wanted = number or self.champion or self["latest_version"]
        return await self._client.version(self.name, wanted)

    async def promote(self, version: int, reason: str | None = None) -> Self:
        """Point `champion` at a version."""
        await self._client.promote(self.name, version, reason)
        return await self.refresh()

    async def rollback(self, reason: str | None = None) -> Self:
        """Point `champion` back at the version before."""
        await self._client.rollback(self.name, reason)
        return await self.refresh()

    async def monitor(self, hours: float = 24.0) -> dict[str, Any]:
        """Return what the versions did in the last `hours`."""
        return await self._client.monitor(self.name, hours)

    async def delete(self) -> None:
        """Delete the model with its versions."""
        await self._client.delete_model(self.name)

    def _repr_html_(self) -> str:
        rows = (
            [each["version"], "champion" if each["version"] == self.champion else ""]
            for each in self.get("versions") or []
        )
        return html_table(("version", "alias"), rows, f"Model {self.name}")


class AsyncModelCalls(AsyncDatasetCalls):
    """Predict, and show and change models."""

    @overload
    async def predict(
        self, model: str, instances: "pd.DataFrame", **options: Any
    ) -> "pd.DataFrame": ...
    @overload
    async def predict(
        self, model: str, instances: Sequence[Any], **options: Any
    ) -> dict[str, Any]: ...
    async def predict(self, model: str, instances: Any, **options: Any) -> Any:
        """Predict rows with a model's champion; a DataFrame gives a DataFrame with its index.

        `options` are other fields of the request, such as `version`, `alias` or `interval`.
        """
        if is_frame(instances):
            found = [await self._predict_part(model, part, options) for part in parts(instances)]
            return joined(found, instances.index)
        body = {"model": model, "instances": list(instances), **options}
        return await self._call("POST", "/predict", json=body)

    async def predict_file(self, model: str, content: bytes, kind: str, **options: Any) -> str:
        """Predict a table, such as `text/csv`, and return the predictions as CSV."""
        headers = {"Content-Type": kind, "Accept": "text/csv"}
        query = {"model": model, **options}
        response = await self.request(
            "POST", "/predict", content=content, params=query, headers=headers
        )
        return response.text

    async def models(self, limit: int | None = None) -> list[dict[str, Any]]:
        """Return the models by name."""
        return await self._pages("/models", {}, limit)

    async def model(self, model: str) -> AsyncModel:
        """Return a model with its aliases and versions."""
        return AsyncModel(self, await self._call("GET", f"/models/{quoted(model)}"))

    async def version(self, model: str, version: int) -> dict[str, Any]:
        """Return a version with its evidence, signature and layers."""
        return await self._call("GET", f"/models/{quoted(model)}/versions/{version}")

    def download(self, model: str, version: int, file: str) -> AsyncIterator[bytes]:
        """Yield one file of a version in pieces."""
        return self._download(
            f"/models/{quoted(model)}/versions/{version}/artifacts/{quoted(file)}"
        )

    async def import_version(self, model: str, path: str | Path, **request: Any) -> dict[str, Any]:
        """Make a version of an ONNX file; docs/exports.md has the fields of `request`."""
        form = {"request": json.dumps(request)}
        return await self._upload(f"/models/{quoted(model)}/versions", upload_of(path), form)

    async def promote(
        self, model: str, version: int, reason: str | None = None, expected: int | None = None
    ) -> dict[str, Any]:
        """Point `champion` at a version and return the model.

        With `expected` only if `champion` points at that version alone; `reason` goes to the
        history.
        """
        body = {"version": version} | ({} if reason is None else {"reason": reason})
        return await self.set_alias(model, "champion", expected, **body)

    async def set_alias(
        self, model: str, alias: str, expected: int | str | None = None, **body: Any
    ) -> dict[str, Any]:
        """Change what an alias names, and return the model.

        `body` has `version` or `weights`, `shadow` and `reason`. With `expected` only if that is
        the alias's `ETag`, without its quotes.
        """
        headers = {} if expected is None else {"If-Match": f'"{expected}"'}
        path = f"/models/{quoted(model)}/aliases/{quoted(alias)}"
        return await self._call("PUT", path, json=body, headers=headers)

    async def rollback(self, model: str, reason: str | None = None) -> dict[str, Any]:
        """Point `champion` back at the version before, and return the model."""
        body = {} if reason is None else {"reason": reason}
        return await self._call("POST", f"/models/{quoted(model)}/rollback", json=body)

    async def moves(self, model: str, alias: str = "champion") -> list[dict[str, Any]]:
        """Return the latest moves of an alias, newest first: when, from, to, by whom and why."""
        items: list[dict[str, Any]]
        items = (
            await self._call("GET", f"/models/{quoted(model)}/aliases/{quoted(alias)}/history")
        )["items"]
        return items

    async def auto_promote(self, model: str, *, is_on: bool = True) -> dict[str, Any]:
        """Let any job that finds a better version move `champion`, or only those that may."""
        return await self._call("PATCH", f"/models/{quoted(model)}", json={"auto_promote": is_on})

    async def feedback(self, model: str, prediction_id: str, truth: Any) -> dict[str, Any]:
        """Send the true values of a logged prediction, one a row."""
        body = {"prediction_id": prediction_id, "truth": truth}
        return await self._call("POST", f"/models/{quoted(model)}/feedback", json=body)

    async def monitor(self, model: str, hours: float = 24.0) -> dict[str, Any]:
        """Return what the versions of a model did in the last `hours`."""
        return await self._call("GET", f"/models/{quoted(model)}/monitor", params={"hours": hours})

    async def delete_model(self, model: str) -> None:
        """Delete a model with its aliases and versions."""
        await self.request("DELETE", f"/models/{quoted(model)}")

    async def delete_version(self, model: str, version: int) -> None:
        """Delete a version that no alias points at."""
        await self.request("DELETE", f"/models/{quoted(model)}/versions/{version}")

    async def _predict_part(
        self, model: str, frame: "pd.DataFrame", options: dict[str, Any]
    ) -> "pd.DataFrame":
        answer = await self._call(
            "POST",
            "/predict",
            content=to_parquet(frame),
            params={"model": model, **options},
            headers={"Content-Type": PARQUET, "Accept": "application/json"},
        )
        return predictions_of(answer, frame.index)
