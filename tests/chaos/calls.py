"""Calls of the service that are written down, and sent again where it could not answer."""

import itertools
import json
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

TIMEOUT = 90.0  # seconds; longer than any wait for a database that the service promises
_AGAIN_AFTER = 0.2  # seconds
_STORAGE_IS_AWAY = (httpx.codes.SERVICE_UNAVAILABLE, httpx.codes.INSUFFICIENT_STORAGE)


class NoAnswer(Exception):
    """The service did not answer for as long as the caller was patient."""


@dataclass
class Calls:
    """What one round's calls were answered, by all its threads."""

    urls: Sequence[str]
    patience: float  # seconds
    statuses: dict[int, int] = field(default_factory=dict)
    unanswered: list[str] = field(default_factory=list)  # connections that broke or timed out
    faults: list[str] = field(default_factory=list)  # answers that the contract does not allow
    may_be_damaged: bool = False  # a stored file is: a 500 that names it is right

    def __post_init__(self) -> None:
        self._turns = itertools.count()
        self._lock = threading.Lock()
        # A connection that is kept may be closed by the server just when it is used again.
        self._http = httpx.Client(timeout=TIMEOUT, limits=httpx.Limits(max_keepalive_connections=0))

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def once(self, method: str, path: str, **arguments: Any) -> httpx.Response | None:
        """Call the next of the API processes; None where there was no answer."""
        url = self.urls[next(self._turns) % len(self.urls)]
        try:
            answer = self._http.request(method, f"{url}{path}", **arguments)
        except httpx.TransportError as error:
            with self._lock:
                self.unanswered.append(f"{method} {path}: {type(error).__name__}: {error}")
            return None
        with self._lock:
            self.statuses[answer.status_code] = self.statuses.get(answer.status_code, 0) + 1
            if not self._is_allowed(answer):
                text = f"{method} {path}: {answer.status_code} {answer.text[:300]}"
                self.faults.append(text)
        return answer

    def until_answered(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        """Call again until there is an answer other than 503 or 507; raises NoAnswer."""
        deadline = time.monotonic() + self.patience
        while time.monotonic() < deadline:
            answer = self.once(method, path, **arguments)
            if answer is not None and answer.status_code not in _STORAGE_IS_AWAY:
                return answer
            time.sleep(_AGAIN_AFTER)
        raise NoAnswer(f"{method} {path} was not answered for {self.patience:g} s.")

    def document(self, path: str, **arguments: Any) -> dict[str, Any]:
        """The body of a successful GET; NoAnswer where there is none."""
        answer = self.until_answered("GET", path, **arguments)
        if not answer.is_success:
            raise NoAnswer(f"GET {path}: {answer.status_code} {answer.text[:300]}")
        found: dict[str, Any] = answer.json()
        return found

    def _is_allowed(self, answer: httpx.Response) -> bool:
        """Whether a status below 500, or a 503 or 507 that says why."""
        if answer.status_code < httpx.codes.INTERNAL_SERVER_ERROR:
            return True
        kind = answer.headers.get("Content-Type", "")
        if not kind.startswith("application/problem+json"):
            return False
        if answer.status_code in _STORAGE_IS_AWAY:
            return bool(answer.json().get("detail"))
        names_file = "stored file" in json.dumps(answer.json())
        return self.may_be_damaged and names_file
