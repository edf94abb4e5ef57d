"""Bytes of a text file to UTF-8, whatever encoding they are in."""

import codecs
from dataclasses import dataclass

from models.errors import Invalid

_BOMS = (
    # The one of UTF-32 starts with the one of UTF-16.
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_STEP_BYTES = 4 * 1024**2
_SAMPLE_BYTES = 64 * 1024
_MIN_SAMPLE = 32  # bytes outside ASCII; a guess from fewer is no better than Windows' own
_CONTROL = bytes({*range(32)} - {*b"\t\n\v\f\r\x1a\x1b\x1c\x1d\x1e\x1f\x01\x02"})
_FEW_CONTROLS = 8  # so many control characters, or
_MAX_CONTROL = 0.002  # such a share of them, a text may hold
_FALLBACK = "cp1252"


@dataclass(frozen=True, slots=True)
class Text:
    """The text of a file."""

    content: bytes  # UTF-8, without a byte-order mark
    encoding: str  # as the file has it
    bom: bool = False
    replaced: int = 0  # bytes that the encoding does not know


def decode(content: bytes, encoding: str | None = None) -> Text:
    """Return `content` as UTF-8; `encoding` None means the one that it looks like.

    A byte-order mark decides, then whether the bytes are UTF-8, then charset-normalizer. Single
    bad bytes in a file of UTF-8 are read as Windows-1252. Raises Invalid at `options.encoding` for
    an encoding that is unknown or does not fit, at `file` for bytes that are no text.
    """
    if encoding is not None:
        return _decode_as(content, encoding)
    for bom, name in _BOMS:
        if content.startswith(bom):
            body = content[len(bom) :]
            return _transcode(body, name, bom=True) if name != "utf-8" else _utf8(body, bom=True)
    if wide := _looks_wide(content):
        return _transcode(content, wide, bom=False)
    sample = content[:_SAMPLE_BYTES]
    controls = sum(sample.count(code) for code in _CONTROL)
    if controls > max(_FEW_CONTROLS, _MAX_CONTROL * len(sample)):
        place = min(place for code in _CONTROL if (place := sample.find(code)) >= 0)
        line = sample.count(b"\n", 0, place) + 1
        message = f"The file is not text: line {line} holds the control character"
        raise Invalid.at("file", f"{message} U+{sample[place]:04X}.")
    return _utf8(content, bom=False)


def _decode_as(content: bytes, encoding: str) -> Text:
    try:
        name = codecs.lookup(encoding).name
        "".encode(name)
    except LookupError:
        raise Invalid.at("options.encoding", f"{encoding!r} is not a known encoding.") from None
    found = ((bom, of) for bom, of in _BOMS if of.startswith(name.removesuffix("-sig")))
    bom, exact = next((pair for pair in found if content.startswith(pair[0])), (b"", name))
    if exact in ("utf-16", "utf-32"):
        exact += "-le"  # without a byte-order mark, that of every computer of today
    try:
        return Text(b"".join(_steps(content[len(bom) :], exact)), encoding, bool(bom))
    except UnicodeDecodeError as error:
        raise Invalid.at(
            "options.encoding", f"The file is not {encoding}: {error.reason}."
        ) from None


def _steps(content: bytes, encoding: str, errors: str = "strict") -> list[bytes]:
    """Transcode piece by piece: text in memory takes up to four times the bytes of the file."""
    decoder = codecs.getincrementaldecoder(encoding)(errors)
    view = memoryview(content)
    pieces = []
    for start in range(0, len(content), _STEP_BYTES):
        last = start + _STEP_BYTES >= len(content)
        text = decoder.decode(bytes(view[start : start + _STEP_BYTES]), last)
        pieces.append(text.encode("utf-8", "replace"))
    return pieces


def _utf8(content: bytes, bom: bool) -> Text:
    if content.isascii():
        return Text(content, "utf-8" if bom else "ascii", bom)
    try:
        _check_utf8(content)
        return Text(content, "utf-8", bom)
    except UnicodeDecodeError:
        pass
    return _mostly_utf8(content, bom) or _legacy(content)


def _check_utf8(content: bytes) -> None:
    decoder = codecs.getincrementaldecoder("utf-8")()
    view = memoryview(content)
    for start in range(0, len(content), _STEP_BYTES):
        decoder.decode(bytes(view[start : start + _STEP_BYTES]))
    decoder.decode(b"", True)


def _mostly_utf8(content: bytes, bom: bool) -> Text | None:
    """Read UTF-8 in which fewer bytes are wrong than characters outside ASCII are right."""
    replaced = _Replaced()
    codecs.register_error(replaced.name, replaced)
    text = b"".join(_steps(content, "utf-8", replaced.name))
    wide = sum(text.count(bytes([lead])) for lead in range(0xC2, 0xF5)) - replaced.count
    return Text(text, "utf-8", bom, replaced.count) if bom or wide > replaced.count else None


class _Replaced:
    """An error handler of codecs: reads single bad bytes as Windows-1252 and counts them."""

    name = "luthier-windows"

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, error: UnicodeError) -> tuple[str, int]:
        if not isinstance(error, UnicodeDecodeError):
            raise error
        bad = error.object[error.start : error.end]
        self.count += len(bad)
        return bad.decode(_FALLBACK, "replace"), error.end


def _legacy(content: bytes) -> Text:
    name = _guess(content)
    try:
        return _transcode(content, name, bom=False)
    except Invalid:
        pass
    name = "latin-1" if any(content.count(code) for code in b"\x81\x8d\x8f\x90\x9d") else _FALLBACK
    return Text(b"".join(_steps(content, name, "replace")), name)


def _guess(content: bytes) -> str:
    """Guess an encoding by charset-normalizer from the lines that are not ASCII."""
    from charset_normalizer import from_bytes

    sample = bytearray()
    for line in content[: 64 * _SAMPLE_BYTES].splitlines(keepends=True):
        if not line.isascii():
            sample += line[:1000]
        if len(sample) > _SAMPLE_BYTES:
            break
    if sum(byte > 127 for byte in sample) < _MIN_SAMPLE:
        return _FALLBACK
    best = from_bytes(bytes(sample)).best()
    # Without words of a language that it knows, its choice among the many is arbitrary.
    if best is None or best.coherence <= 0 or best.encoding.startswith("mac_"):
        return _FALLBACK
    if best.coherence < _SURE and _looks_western(bytes(sample)):
        return _FALLBACK
    return _FALLBACK if best.encoding in _WESTERN else best.encoding


_SURE = 0.5  # coherence of a language from which charset-normalizer is right against Windows-1252
_WESTERN_LETTERS = frozenset(
    "äöüßÄÖÜáàâãåæçéèêëíìîïñóòôõøúùûýÿœÁÀÂÃÅÆÇÉÈÊËÍÎÏÑÓÔÕØÚÙÛÝŒ€£°§«»–—‘’“”…ªº¡¿´"
)

# Encodings that differ from Windows-1252 in no letter of Western Europe, or that no file of today
# has where charset-normalizer names them.
_WESTERN = frozenset(
    ("latin_1", "iso8859_15", "iso8859_9", "cp1254", "iso8859_14", "iso8859_10", "hp_roman8")
)


def _looks_western(sample: bytes) -> bool:
    """Whether bytes read as Windows-1252 are ASCII words with some letters of Western Europe."""
    try:
        text = sample.decode(_FALLBACK)
    except UnicodeDecodeError:
        return False
    high = [character for character in text if character > "\x7f"]
    letters = sum(character.isalpha() for character in text)
    western = sum(character in _WESTERN_LETTERS for character in high)
    return western >= 0.9 * len(high) and len(high) <= 0.3 * letters


def _transcode(content: bytes, encoding: str, bom: bool) -> Text:
    try:
        return Text(b"".join(_steps(content, encoding)), encoding.replace("_", "-"), bom)
    except UnicodeDecodeError as error:
        message = f"The file looks like {encoding}, but is not: {error.reason}."
        raise Invalid.at("file", message) from None


def _looks_wide(content: bytes) -> str | None:
    """Return the UTF-16 of a text without a byte-order mark: every other byte is zero."""
    sample = content[:4096]
    half = len(sample) // 2
    if half == 0:
        return None
    even, odd = sample[0::2].count(0), sample[1::2].count(0)
    if odd > half * 0.6 and even < half * 0.1:
        return "utf-16-le"
    return "utf-16-be" if even > half * 0.6 and odd < half * 0.1 else None
