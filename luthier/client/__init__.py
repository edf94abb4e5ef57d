"""A Python client of the service: `Client`, and `AsyncClient` with the same methods."""

from luthier.client._async.client import AsyncClient
from luthier.client._async.jobs import AsyncJob
from luthier.client._async.models import AsyncModel
from luthier.client._sync.client import Client
from luthier.client._sync.jobs import Job
from luthier.client._sync.models import Model
from luthier.client.errors import (
    BadRequest,
    ClientError,
    Conflict,
    Forbidden,
    InvalidRequest,
    JobFailed,
    NotFound,
    PreconditionFailed,
    RequestRefused,
    ServerFailed,
    TooLarge,
    TooManyRequests,
    Unauthorized,
    UnsupportedMediaType,
)
from luthier.client.records import FINAL_STATES, Dataset, Trials
from luthier.client.settings import DEFAULT_URL, KEY_VARIABLE, URL_VARIABLE

__all__ = [
    "DEFAULT_URL",
    "FINAL_STATES",
    "KEY_VARIABLE",
    "URL_VARIABLE",
    "AsyncClient",
    "AsyncJob",
    "AsyncModel",
    "BadRequest",
    "Client",
    "ClientError",
    "Conflict",
    "Dataset",
    "Forbidden",
    "InvalidRequest",
    "Job",
    "JobFailed",
    "Model",
    "NotFound",
    "PreconditionFailed",
    "RequestRefused",
    "ServerFailed",
    "TooLarge",
    "TooManyRequests",
    "Trials",
    "Unauthorized",
    "UnsupportedMediaType",
]
