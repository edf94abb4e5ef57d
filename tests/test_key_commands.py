"""`luthier keys`, and what keys mean for the address that is bound."""

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from luthier.cli import main
from luthier.server import check_bind
from models.access.catalog import KeyCatalog
from models.access.keys import Scope, digest_of, parse_static_keys
from models.errors import SettingError, Unavailable
from models.settings import Settings
from models.store.engine import Database
from tests.processes import run

SECRET = "s" * 32


def keys(settings: Settings, *arguments: str) -> Result:
    return CliRunner(env={"LUTHIER_DATA": settings.data}).invoke(main, ["keys", *arguments])


def create(settings: Settings, *more: str) -> str:
    made = keys(settings, "create", "--name", "ci", "--scopes", "read, tune", *more)
    assert made.exit_code == 0, made.output
    return made.stdout.strip()


def test_a_key_is_printed_once_and_only_its_digest_is_kept(
    settings: Settings, database: Database
) -> None:
    key = create(settings)
    assert re.fullmatch(r"luthier_[0-9a-f]{12}_[\w-]{43}", key)
    (record,) = KeyCatalog(database).all()
    assert record.digest == digest_of(key)
    assert record.scopes == {Scope.READ, Scope.TUNE}
    assert key.split("_", 2)[2].encode() not in Path(settings.data, "luthier.db").read_bytes()
    assert key != create(settings)


def test_the_list_shows_states_and_nothing_secret(settings: Settings) -> None:
    first, second = create(settings), create(settings, "--expires", "2999-01-01")
    assert keys(settings, "revoke", first.split("_")[1]).exit_code == 0
    header, *rows = keys(settings, "list").output.splitlines()
    assert header.split() == ["ID", "NAME", "SCOPES", "CREATED", "EXPIRES", "STATE"]
    by_id = {row.split()[0]: row.split()[1:] for row in rows}
    assert by_id[first.split("_")[1]][-2:] == ["never", "revoked"]
    assert by_id[second.split("_")[1]][-2:] == ["2999-01-01T00:00:00Z", "active"]
    text = keys(settings, "list", "--json").output
    states = {item["id"]: item["state"] for item in json.loads(text)["items"]}
    assert states == {first.split("_")[1]: "revoked", second.split("_")[1]: "active"}
    for key in (first, second):
        assert key.split("_", 2)[2] not in "".join(rows) + text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--name", "a\nb", "--scopes", "read"), "name: Use 1 to 64 letters"),
        (("--name", "anonymous", "--scopes", "read"), "the caller without a key"),
        (("--name", "a", "--scopes", "read,write"), "There is no scope 'write'"),
        (("--name", "a", "--scopes", ""), "read, tune, predict, promote, admin"),
        (("--name", "a", "--scopes", "read", "--expires", "2001-01-01"), "in the future"),
        (("--name", "a", "--scopes", "read", "--expires", "soon"), "'soon' is not as in"),
    ],
)
def test_what_cannot_be_a_key_is_refused(
    settings: Settings, arguments: tuple[str, ...], message: str
) -> None:
    made = keys(settings, "create", *arguments)
    assert made.exit_code != 0
    assert message in made.output
    assert len(keys(settings, "list").output.splitlines()) == 1


def test_an_unknown_key_cannot_be_revoked(settings: Settings) -> None:
    found = keys(settings, "revoke", "0" * 12)
    assert found.exit_code == 1
    assert "There is no key '000000000000'." in found.output


def test_a_database_without_the_table_is_told(tmp_path: Path) -> None:
    found = keys(Settings(data=str(tmp_path)), "list")
    assert found.exit_code == 1
    assert "luthier migrate" in found.output


def test_a_wider_address_needs_a_key_whatever_its_state(
    settings: Settings, database: Database
) -> None:
    wide = Settings(data=settings.data, bind="0.0.0.0:8000")
    with pytest.raises(SettingError, match="luthier keys create"):
        check_bind(wide)
    record, _ = KeyCatalog(database).create("ci", ["read"])
    check_bind(wide)
    KeyCatalog(database).revoke(record.id)
    check_bind(wide)  # it is served, and answers nobody


def test_a_key_of_the_settings_lets_a_wider_address_be_bound(tmp_path: Path) -> None:
    check_bind(Settings(data=str(tmp_path), bind="0.0.0.0:8000", api_keys=f"ci:read:{SECRET}"))


def test_a_database_that_does_not_answer_is_not_taken_for_one_without_keys(tmp_path: Path) -> None:
    (tmp_path / "luthier.db").write_text("no database" * 100)
    with pytest.raises(Unavailable, match="does not answer"):
        check_bind(Settings(data=str(tmp_path), bind="0.0.0.0:8000"))


def test_static_keys_are_read_with_their_scopes() -> None:
    text = f"ci:read+tune:{SECRET}, web:predict:a:b{SECRET},"
    ci, web = parse_static_keys(text)
    assert ci.caller.name == "ci"
    assert ci.caller.scopes == {Scope.READ, Scope.TUNE}
    assert web.digest == digest_of(f"a:b{SECRET}")
    assert parse_static_keys("") == ()


@pytest.mark.parametrize(
    "entry",
    [
        SECRET,
        f"ci:{SECRET}",
        f"c i:read:{SECRET}",
        f"ci:write:{SECRET}",
        f"ci::{SECRET}",
        "ci:read:sss",
        f"ci:read:{SECRET}é",
        "ci:read:",
    ],
)
def test_a_bad_static_key_ends_the_command_without_being_shown(entry: str, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="LUTHIER_API_KEYS: ") as refusal:
        check_bind(Settings(data=str(tmp_path), api_keys=entry))
    assert "sss" not in str(refusal.value)


def test_the_refusal_is_the_command_s_last_word(tmp_path: Path) -> None:
    found = run("api", data=tmp_path, api_keys=f"ci:write:{SECRET}")
    assert found.returncode == 1
    assert "LUTHIER_API_KEYS: entry 1 is not name:scopes:key," in found.stderr
    assert "Traceback" not in found.stderr
    assert SECRET not in found.stderr


def test_expiry_without_a_zone_is_utc(settings: Settings, database: Database) -> None:
    create(settings, "--expires", "2999-06-01T12:00")
    create(settings, "--expires", "2999-06-01T12:00+02:00")
    expiries = [record.expires for record in KeyCatalog(database).all()]
    noon = datetime(2999, 6, 1, 12, tzinfo=UTC)
    assert sorted(filter(None, expiries)) == [noon - timedelta(hours=2), noon]
