"""Where the client finds its service."""

import os

DEFAULT_URL = "http://127.0.0.1:8000"
URL_VARIABLE = "LUTHIER_URL"
KEY_VARIABLE = "LUTHIER_API_KEY"
TRIES = 3  # of one request
RETRY_AFTER = 1.0  # seconds
MAX_PAGE = 500  # items of one answer


def service_url(url: str | None) -> str:
    """Return the address given, that of LUTHIER_URL, or the default."""
    return url or os.environ.get(URL_VARIABLE) or DEFAULT_URL


def headers(api_key: str | None) -> dict[str, str]:
    """Return the headers of every request."""
    key = api_key or os.environ.get(KEY_VARIABLE)
    return {"Authorization": f"Bearer {key}"} if key else {}
