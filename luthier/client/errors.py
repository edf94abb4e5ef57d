"""The errors of the client: one class for each status that a caller may want to tell apart."""

from collections.abc import Mapping
from typing import Any

import httpx


class ClientError(Exception):
    """The base of all errors of the client. Lost connections are `httpx.TransportError`."""


class RequestRefused(ClientError):
    """An answer with an error status; `problem` is its body (RFC 9457)."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        self.status = status
        self.problem = problem
        super().__init__(f"{status}: {problem.get('detail', problem)}")

    @property
    def errors(self) -> dict[str, list[str]]:
        """Messages by the dotted path of the field that they are about; often empty."""
        return dict(self.problem.get("errors") or {})

    @property
    def request_id(self) -> str | None:
        """The id of the request, which the service's log names too."""
        return self.problem.get("request_id")


class BadRequest(RequestRefused):
    """400: the request cannot be read."""


class Unauthorized(RequestRefused):
    """401: the API key is missing or unknown."""


class Forbidden(RequestRefused):
    """403: the API key lacks a scope."""


class NotFound(RequestRefused):
    """404: there is no such job, model, version or dataset."""


class Conflict(RequestRefused):
    """409: the state of a thing does not allow the request."""


class PreconditionFailed(RequestRefused):
    """412: the alias is not what the caller expected."""


class TooLarge(RequestRefused):
    """413: a limit of the service is exceeded."""


class UnsupportedMediaType(RequestRefused):
    """415: the body has a form that the service does not read."""


class InvalidRequest(RequestRefused):
    """422: fields break a rule; `errors` says which."""


class TooManyRequests(RequestRefused):
    """429: too much is queued; try again later."""


class ServerFailed(RequestRefused):
    """5xx: the service failed or is unavailable."""


class JobFailed(ClientError):
    """A job that ended without a version, where one was needed; `job` is that job."""

    def __init__(self, job: Mapping[str, Any]) -> None:
        self.job = job
        super().__init__(f"job {job['id']} {job['state']}: {job.get('error') or 'no version'}")


_BY_STATUS: dict[int, type[RequestRefused]] = {
    400: BadRequest,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    412: PreconditionFailed,
    413: TooLarge,
    415: UnsupportedMediaType,
    422: InvalidRequest,
    429: TooManyRequests,
}


def refusal(response: httpx.Response) -> RequestRefused:
    """Return the error of an answer whose body has been read; a proxy's may be no JSON."""
    status = response.status_code
    try:
        problem = response.json()
    except ValueError:
        problem = None
    if not isinstance(problem, dict):
        problem = {"status": status, "detail": response.text[:200] or response.reason_phrase}
    kind = ServerFailed if status >= 500 else _BY_STATUS.get(status, RequestRefused)
    return kind(status, problem)
