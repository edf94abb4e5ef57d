"""Connections to one service: requests, and when they are sent again."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Mapping
from typing import IO, Any, Self

import httpx

from luthier.client.errors import refusal
from luthier.client.requests import Upload
from luthier.client.settings import MAX_PAGE, RETRY_AFTER, TRIES, headers, service_url


class AsyncTransport:
    """Sends requests to one service.

    `url` defaults to the environment variable LUTHIER_URL, `api_key` to LUTHIER_API_KEY. `timeout`
    is in seconds. A request whose connection breaks is sent twice more; a POST or PATCH is not
    carried out twice.
    """

    def __init__(
        self, url: str | None = None, timeout: float = 60.0, api_key: str | None = None
    ) -> None:
        self._timeout = timeout
        self._http = httpx.AsyncClient(
            base_url=service_url(url), timeout=timeout, headers=headers(api_key)
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    @property
    def url(self) -> str:
        """The address of the service."""
        return str(self._http.base_url).rstrip("/")

    async def request(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        """Send any request, with arguments of `httpx`, and return the answer.

        Raises RequestRefused for an error.
        """
        response = await self._send(method, path, **arguments)
        if response.is_error:
            raise refusal(response)
        return response

    async def _call(self, method: str, path: str, **arguments: Any) -> dict[str, Any]:
        response = await self.request(method, path, **arguments)
        body: dict[str, Any] = response.json()
        return body

    async def _upload(
        self, address: str, upload: Upload, form: Mapping[str, str], **arguments: Any
    ) -> dict[str, Any]:
        """Send a file in a form."""
        content: IO[bytes] | bytes = upload.open()
        try:
            files = {"file": (upload.name, content)}
            return await self._call("POST", address, files=files, data=form, **arguments)
        finally:
            if not isinstance(content, bytes):
                content.close()

    async def _pages(
        self, path: str, query: Mapping[str, Any], limit: int | None
    ) -> list[dict[str, Any]]:
        """Return the items of a list: the first `limit`, or all, page after page."""
        items: list[dict[str, Any]] = []
        wanted = dict(query)
        while limit is None or len(items) < limit:
            if limit is not None:
                wanted["limit"] = min(limit - len(items), MAX_PAGE)
            page = await self._call("GET", path, params=wanted)
            items += page["items"]
            if page["next"] is None:
                break
            wanted["after"] = page["next"]
        return items

    async def _download(self, path: str) -> AsyncIterator[bytes]:
        """Yield the content of a file in pieces."""
        async with self._http.stream("GET", path) as response:
            if response.is_error:
                await response.aread()
                raise refusal(response)
            async for piece in response.aiter_bytes():
                yield piece

    async def _send(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, **arguments: Any
    ) -> httpx.Response:
        """Send a request; again if the connection broke, or while the first one is under way.

        The key keeps the service from carrying out a POST or PATCH twice.
        """
        sent = dict(headers or {})
        if method in ("POST", "PATCH"):
            sent["Idempotency-Key"] = secrets.token_hex(16)
        for left in reversed(range(TRIES)):
            try:
                response = await self._http.request(method, path, headers=sent, **arguments)
            except (httpx.NetworkError, httpx.RemoteProtocolError):
                if not left:
                    raise
            else:
                is_busy = response.status_code == httpx.codes.CONFLICT
                if not left or not (is_busy and "Retry-After" in response.headers):
                    return response
            await asyncio.sleep(RETRY_AFTER)
        raise AssertionError("the last try returns or raises")
