# Made by client/unasync.py from _async/transport.py; change that.
"""Connections to one service: requests, and when they are sent again."""

import secrets
import time
from collections.abc import Iterator, Mapping
from typing import IO, Any, Self

import httpx

from luthier.client.errors import refusal
from luthier.client.requests import Upload
from luthier.client.settings import MAX_PAGE, RETRY_AFTER, TRIES, headers, service_url


class Transport:
    """Sends requests to one service.

    `url` defaults to the environment variable LUTHIER_URL, `api_key` to LUTHIER_API_KEY. `timeout`
    is in seconds. A request whose connection breaks is sent twice more; a POST or PATCH is not
    carried out twice.
    """

    def __init__(
        self, url: str | None = None, timeout: float = 60.0, api_key: str | None = None
    ) -> None:
        self._timeout = timeout
        self._http = httpx.Client(
            base_url=service_url(url), timeout=timeout, headers=headers(api_key)
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    @property
    def url(self) -> str:
        """The address of the service."""
        return str(self._http.base_url).rstrip("/")

    def request(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        """Send any request, with arguments of `httpx`, and return the answer.

        Raises RequestRefused for an error.
        """
        response = self._send(method, path, **arguments)
        if response.is_error:
            raise refusal(response)
        return response

    def _call(self, method: str, path: str, **arguments: Any) -> dict[str, Any]:
        response = self.request(method, path, **arguments)
        body: dict[str, Any] = response.json()
        return body

    def _upload(
        self, address: str, upload: Upload, form: Mapping[str, str], **arguments: Any
    ) -> dict[str, Any]:
        """Send a file in a form."""
        content: IO[bytes] | bytes = upload.open()
        try:
            files = {"file": (upload.name, content)}
            return self._call("POST", address, files=files, data=form, **arguments)
        finally:
            if not isinstance(content, bytes):
                content.close()

    def _pages(
        self, path: str, query: Mapping[str, Any], limit: int | None
    ) -> list[dict[str, Any]]:
        """Return the items of a list: the first `limit`, or all, page after page."""
        items: list[dict[str, Any]] = []
        wanted = dict(query)
        while limit is None or len(items) < limit:
            if limit is not None:
                wanted["limit"] = min(limit - len(items), MAX_PAGE)
            page = self._call("GET", path, params=wanted)
            items += page["items"]
            if page["next"] is None:
                break
            wanted["after"] = page["next"]
        return items

    def _download(self, path: str) -> Iterator[bytes]:
        """Yield the content of a file in pieces."""
        with self._http.stream("GET", path) as response:
            if response.is_error:
                response.read()
                raise refusal(response)
            for piece in response.iter_bytes():
                yield piece

    def _send(
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
                response = self._http.request(method, path, headers=sent, **arguments)
            except (httpx.NetworkError, httpx.RemoteProtocolError):
                if not left:
                    raise
            else:
                is_busy = response.status_code == httpx.codes.CONFLICT
                if not left or not (is_busy and "Retry-After" in response.headers):
                    return response
            time.sleep(RETRY_AFTER)
        raise AssertionError("the last try returns or raises")
