"""Compressed files and archives: the one table inside is unpacked, within limits."""

import bz2
import io
import lzma
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from models.data.formats.limits import TableLimits
from models.errors import Invalid, TooLarge

_STEP_BYTES = 1024**2
_MEMORY_BYTES = 256 * 1024**2  # of the LZMA decoder, whose dictionary the file chooses
_MAX_DEPTH = 2  # a zip may hold a .csv.gz
_MAX_MEMBERS = 1000
_SHOWN_MEMBERS = 20
_MAGIC = {b"\x1f\x8b": "gzip", b"BZh": "bz2", b"\xfd7zXZ\0": "xz", b"PK\x03\x04": "zip"}
_ENDINGS = (".gz", ".bz2", ".xz", ".zip", ".gzip")
_NO_TABLES = (".md", ".pdf", ".html", ".htm", ".png", ".jpg", ".rst", ".doc", ".docx", ".names")
_FAULTS = (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError, RuntimeError)


@dataclass(frozen=True, slots=True)
class Unpacked:
    """A file as it lay inside its compression."""

    content: bytes
    filename: str | None
    compression: tuple[str, ...] = ()  # from the outside to the inside
    member: str | None = None  # of the archive


def unpack(content: bytes, filename: str | None, limits: TableLimits) -> Unpacked:
    """Unpack gzip, bzip2, xz and zip, told by their first bytes; return other files as they are.

    A zip file must hold one table; spreadsheets and NPZ, which are zip files themselves, stay as
    they are. Raises Invalid at `file`, which lists the members; TooLarge beyond `limits`.
    """
    found = Unpacked(content, filename)
    for _ in range(_MAX_DEPTH):
        kind = next((name for magic, name in _MAGIC.items() if found.content.startswith(magic)), "")
        if not kind or (kind == "zip" and zip_format(found.content)):
            return found
        try:
            inside = _unzip(found, limits) if kind == "zip" else _inflate(found, kind, limits)
        except (TooLarge, MemoryError):
            raise
        except (*_FAULTS, zipfile.BadZipFile, NotImplementedError) as error:
            raise Invalid.at("file", f"The file is damaged {kind}: {error}") from None
        if not inside.content:
            raise Invalid.at("file", f"The file inside the {kind} is empty.")
        found = inside
    return found


def zip_format(content: bytes) -> str | None:
    """Return xlsx, ods or npz if that is what a zip file is; None for an archive of files."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = archive.namelist()
    except (*_FAULTS, zipfile.BadZipFile):
        return None
    if "[Content_Types].xml" in names and any(name.startswith("xl/") for name in names):
        return "xlsx"
    if "content.xml" in names and "mimetype" in names:
        return "ods"
    return "npz" if names and all(name.endswith(".npy") for name in names) else None


def _inflate(outside: Unpacked, kind: str, limits: TableLimits) -> Unpacked:
    pieces, size = [], 0
    for piece in _pieces(outside.content, kind):
        size += len(piece)
        limits.check_bytes(size, "The file")
        pieces.append(piece)
    name = outside.filename
    if name and name.lower().endswith(_ENDINGS):
        name = name[: name.rindex(".")]
    return Unpacked(b"".join(pieces), name, (*outside.compression, kind), outside.member)


def _pieces(content: bytes, kind: str) -> Iterator[bytes]:
    """Yield what the streams, one after the other, unpack to, at most a megabyte at a time."""
    rest = content
    while rest.strip(b"\0"):
        decoder: Any = _decoder(kind)
        rest_of_stream: bytes = rest
        while not decoder.eof:
            piece = decoder.decompress(rest_of_stream, _STEP_BYTES)
            if not piece and not decoder.eof and not _has_input(decoder, kind):
                raise EOFError("it ends early")
            rest_of_stream = decoder.unconsumed_tail if kind == "gzip" else b""
            yield piece
        rest = decoder.unused_data


def _has_input(decoder: Any, kind: str) -> bool:
    return bool(decoder.unconsumed_tail) if kind == "gzip" else not decoder.needs_input


def _decoder(kind: str) -> Any:
    if kind == "gzip":
        return zlib.decompressobj(31)
    if kind == "bz2":
        return bz2.BZ2Decompressor()
    return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MEMORY_BYTES)


def _unzip(outside: Unpacked, limits: TableLimits) -> Unpacked:
    # Opening an archive takes memory for each member, however small the file is.
    if outside.content.count(b"PK\x01\x02") > _MAX_MEMBERS:
        raise Invalid.at("file", f"The archive has more than {_MAX_MEMBERS:,} members.")
    with zipfile.ZipFile(io.BytesIO(outside.content)) as archive:
        member = _choose(archive.infolist())
        limits.check_bytes(member.file_size, f"Member {member.filename!r}")
        pieces, size = [], 0
        with archive.open(member) as file:
            while piece := file.read(_STEP_BYTES):
                size += len(piece)
                limits.check_bytes(size, f"Member {member.filename!r}")
                pieces.append(piece)
    name = PurePath(member.filename).name
    return Unpacked(b"".join(pieces), name, (*outside.compression, "zip"), member.filename)


def _choose(members: list[zipfile.ZipInfo]) -> zipfile.ZipInfo:
    files = [
        member
        for member in members
        if not member.is_dir()
        and member.file_size
        and not member.filename.startswith("__MACOSX/")
        and not PurePath(member.filename).name.startswith(".")
    ]
    tables = [member for member in files if not _is_no_table(member.filename)] or files
    if len(tables) == 1:
        return tables[0]
    names = ", ".join(repr(member.filename) for member in tables[:_SHOWN_MEMBERS])
    more = f" and {len(tables) - _SHOWN_MEMBERS} more" if len(tables) > _SHOWN_MEMBERS else ""
    found = f"{len(tables)} files: {names}{more}" if tables else "no file"
    raise Invalid.at("file", f"Expected an archive with one table inside, found {found}.")


def _is_no_table(name: str) -> bool:
    path = PurePath(name.lower())
    return path.suffix in _NO_TABLES or path.stem in ("readme", "license", "licence", "changelog")
