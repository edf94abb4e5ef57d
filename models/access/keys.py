"""API keys as values: their form, their scopes and their comparison."""

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from models.errors import Invalid, SettingError

MIN_STATIC_KEY_LENGTH = 32  # characters; a fast hash protects only what cannot be guessed
ANONYMOUS = "anonymous"  # the caller without a key, in the audit log
NAME_RULE = (
    "Use 1 to 64 letters, digits, '.', '_' and '-', beginning with a letter or digit;"
    f" {ANONYMOUS!r} is the caller without a key."
)

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_KEY = re.compile(r"luthier_(?P<id>[0-9a-f]{12})_[A-Za-z0-9_-]{43}")


class Scope(StrEnum):
    """A permission of a key; `admin` includes the others."""

    READ = "read"
    TUNE = "tune"
    PREDICT = "predict"
    PROMOTE = "promote"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Caller:
    """The sender of a request."""

    name: str
    scopes: frozenset[Scope]
    key_id: str | None = None  # None for a key of the settings

    def may(self, scope: Scope) -> bool:
        """Whether the caller has the permission `scope`."""
        return scope in self.scopes or Scope.ADMIN in self.scopes


@dataclass(frozen=True, slots=True)
class StaticKey:
    """A key of the settings."""

    digest: str
    caller: Caller


def new_key() -> tuple[str, str]:
    """Return a new id and a new key, made of the id and 256 random bits."""
    key_id = secrets.token_hex(6)
    return key_id, f"luthier_{key_id}_{secrets.token_urlsafe(32)}"


def id_of(key: str) -> str | None:
    """Return the id within a key; None for a text that is no key of Luthier."""
    found = _KEY.fullmatch(key)
    return found["id"] if found else None


def digest_of(key: str) -> str:
    """Return the SHA-256 in hex; a fast hash is enough because keys are random."""
    return hashlib.sha256(key.encode()).hexdigest()


def is_same(digest: str, other: str) -> bool:
    """Compare two digests in constant time."""
    return hmac.compare_digest(digest, other)


def check_name(name: str) -> str:
    """Return `name` if it can name a key; raise Invalid at `name` otherwise."""
    if name == ANONYMOUS or not _NAME.fullmatch(name):
        raise Invalid.at("name", NAME_RULE)
    return name


def check_scopes(texts: Iterable[str]) -> frozenset[Scope]:
    """Return the scopes of these names; raise Invalid at `scopes` for an unknown name or none."""
    names = list(texts)
    unknown = sorted(set(names) - set(Scope))
    if unknown or not names:
        complaint = f"There is no scope {unknown[0]!r}; " if unknown else ""
        raise Invalid.at("scopes", f"{complaint}give one or more of {', '.join(Scope)}.")
    return frozenset(map(Scope, names))


def parse_static_keys(text: str) -> tuple[StaticKey, ...]:
    """Parse LUTHIER_API_KEYS: `name:scopes:key` with commas between, scopes joined by `+`.

    Raises SettingError, whose message leaves out the value, as it is a secret.
    """
    entries = [entry.strip() for entry in text.split(",") if entry.strip()]
    return tuple(_static_key(number, entry) for number, entry in enumerate(entries, start=1))


def _static_key(number: int, entry: str) -> StaticKey:
    name, _, rest = entry.partition(":")
    scopes, _, key = rest.partition(":")
    try:
        caller = Caller(check_name(name), check_scopes(scopes.split("+")))
    except Invalid:
        raise SettingError(
            f"LUTHIER_API_KEYS: entry {number} is not name:scopes:key, with scopes of"
            f" {', '.join(Scope)} joined by '+'."
        ) from None
    if len(key) < MIN_STATIC_KEY_LENGTH or not key.isascii() or not key.isprintable():
        raise SettingError(
            f"LUTHIER_API_KEYS: the key of entry {number} needs {MIN_STATIC_KEY_LENGTH} or more"
            " characters of ASCII; make one with: openssl rand -hex 32"
        )
    return StaticKey(digest_of(key), caller)
