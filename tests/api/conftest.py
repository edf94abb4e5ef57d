import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from models.settings import Settings

PROBLEM = "application/problem+json"


@pytest.fixture(scope="module")
def shared_client(
    tmp_path_factory: pytest.TempPathFactory,
    migrated: Path,
    connect: Callable[[Settings], FlaskClient],
) -> FlaskClient:
    """Like `app_client`, but one for a whole module, whose tests must not depend on each other."""
    data = tmp_path_factory.mktemp("api")
    shutil.copy(migrated, data / "luthier.db")
    return connect(Settings(data=str(data), trial_slots=2, max_body_bytes=1_000_000))


@pytest.fixture
def refused() -> Callable[..., dict[str, Any]]:
    """Check that a response is a problem of this status; answer its messages by path."""

    def check(response: TestResponse, status: int) -> dict[str, Any]:
        body = response.get_json()
        assert response.status_code == status, body
        assert response.mimetype == PROBLEM
        assert body["status"] == status
        assert body["detail"] == body["error"]
        assert body["instance"] == response.request.path
        return body.get("errors", {})

    return check
