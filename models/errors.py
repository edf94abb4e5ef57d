"""The one exception tree of the package; `api/errors.py` maps it to HTTP."""

from collections.abc import Mapping, Sequence


class LuthierError(Exception):
    """Any failure that Luthier raises on purpose; its text is meant for the caller."""


class Invalid(LuthierError):
    """The caller's input breaks a rule.

    `errors` maps the dotted path of a field (`search_space.units.min`) to its messages.
    """

    def __init__(self, errors: Mapping[str, Sequence[str]]) -> None:
        self.errors = {path: list(messages) for path, messages in errors.items()}
        super().__init__(
            "; ".join(f"{path}: {' '.join(texts)}" for path, texts in self.errors.items())
        )

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), (self.errors,))

    @classmethod
    def at(cls, path: str, message: str) -> "Invalid":
        """One message about one field."""
        return cls({path: [message]})

    def under(self, prefix: str) -> "Invalid":
        """The same messages with `prefix` put before every path."""
        return Invalid({f"{prefix}.{path}": texts for path, texts in self.errors.items()})


class Forbidden(Invalid):
    """The caller may not ask for this; the errors name the fields."""


class NotFound(LuthierError):
    """No such dataset, job, trial, model, version or alias."""

    def __init__(self, kind: str, name: object, of: str = "") -> None:
        """`of` is what it would be part of, such as "model 'penguins'"."""
        self.kind = kind
        self.name = name
        self.of = of
        super().__init__(f"There is no {kind} {name!r}{of and f' of {of}'}.")

    def __reduce__(self) -> tuple[object, ...]:
        return (NotFound, (self.kind, self.name, self.of))


class Conflict(LuthierError):
    """The request is well formed, but the present state forbids it."""


class PreconditionFailed(Conflict):
    """The present state is not the one that the request names as its condition."""


class InProgress(Conflict):
    """An equal request is being carried out; `retry_after` seconds later it may have an answer."""

    def __init__(self, message: str, retry_after: int) -> None:
        self.retry_after = retry_after
        super().__init__(message)

    def __reduce__(self) -> tuple[object, ...]:
        return (InProgress, (str(self), self.retry_after))


class TooLarge(LuthierError):
    """The caller's input has, or unpacks to, more bytes than a setting allows."""


class TooMany(LuthierError):
    """There is no room now; `retry_after` seconds later there may be."""

    def __init__(self, message: str, retry_after: int) -> None:
        self.retry_after = retry_after
        super().__init__(message)

    def __reduce__(self) -> tuple[object, ...]:
        return (TooMany, (str(self), self.retry_after))


class Malformed(LuthierError):
    """The bytes are not what their content type says."""


class UnsupportedMediaType(LuthierError):
    """A content type or file format that is not read here."""


class Unavailable(LuthierError):
    """A part that the request needs does not answer now; trying again may help."""


class StorageFull(Unavailable):
    """The disk of the database or of the artifacts has no room for what is to be written."""


class LoadError(LuthierError):
    """A built-in dataset cannot be downloaded, or what was downloaded cannot be read."""


class ArtifactError(LuthierError):
    """A stored file is missing, unreadable or not the one that was written."""


class Unreadable(LuthierError):
    """A stored document that this version cannot read; the text names the document and the field.

    `reason` is a message, or messages by field path as `Invalid.errors` has them.
    """

    def __init__(self, what: str, reason: str | Mapping[str, Sequence[str]]) -> None:
        self.what = what
        self.reason = reason if isinstance(reason, str) else str(Invalid(reason))
        super().__init__(f"This version of Luthier cannot read {what}: {self.reason}")

    def __reduce__(self) -> tuple[object, ...]:
        return (Unreadable, (self.what, self.reason))


class SettingError(LuthierError):
    """A setting has a value that cannot be used; names key and value."""


class SchemaError(LuthierError):
    """The database was migrated to another schema than this version of Luthier knows."""


class LeaseLost(LuthierError):
    """Another worker owns the job now; this one must stop writing to it."""
