"""The spelling of a column's cells."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

MISSING_TEXTS = (
    *("", "NA", "N/A", "n/a", "#N/A", "#NA", "<NA>", "NaN", "nan", "-NaN", "-nan", "NaT"),
    *("null", "NULL", "None", "\\N", "#DIV/0!", "#VALUE!", "#REF!", "#NAME?", "#NUM!", "#NULL!"),
)
"""Texts that mean "no value" in every column, of every format and in predictions."""

MISSING_BESIDE_NUMBERS = frozenset(
    (
        *("-", "--", "---", "–", "—", "?", "??", ".", "..", "...", "*"),
        *("unknown", "missing", "not available", "not applicable", "none", "nil", "n.a.", "n.d."),
        *("na", "n/a", "nd", "tba", "tbd", "no data", "undefined", "blank", "empty"),
    )
)
"""Texts, in lower case, that mean "no value" in columns of numbers or datetimes."""


@dataclass(frozen=True, slots=True)
class Spelling:
    """How a column spells its values, beyond the plain spellings that every column reads."""

    decimal: str = "."
    thousands: str = ""  # between groups of digits
    unit: str = ""  # beside the numbers, such as "km", "€" or "%"
    magnitudes: bool = False  # whether k, M and B multiply a number
    dates: str = ""  # as for `strptime`, or one of dates.EPOCHS; "": ISO 8601
    words: tuple[str, str] | None = None  # how a boolean spells false and true
    missing: tuple[str, ...] = ()  # more texts that mean "no value"
    lenient: bool = False  # whether a text that cannot be read means "no value"

    def to_json(self) -> dict[str, Any]:
        """Return the fields that differ from the defaults; `from_json` reads them back."""
        default = Spelling()
        return {name: v for name, v in asdict(self).items() if v != getattr(default, name)}

    @classmethod
    def from_json(cls, document: Any) -> "Spelling":
        """Read what `to_json` returned; raises TypeError or ValueError for another document."""
        if not isinstance(document, Mapping):
            raise TypeError("Must be an object.")
        values = {
            field.name: document[field.name] for field in fields(cls) if field.name in document
        }
        default = cls()
        for name, value in values.items():
            known = getattr(default, name)
            if isinstance(known, str | bool) and type(value) is not type(known):
                raise TypeError(f"{name}: Must be {_KINDS[type(known)]}.")
        for name in ("words", "missing"):
            if values.get(name) is not None:
                values[name] = tuple(map(str, values[name]))
        if len(values.get("words") or ("", "")) != 2:
            raise ValueError("words: Must be two texts.")
        return cls(**values)


_KINDS: Mapping[type, str] = {str: "a text", bool: "true or false"}
PLAIN = Spelling()
