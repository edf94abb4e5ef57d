"""One HTTP request while it arrives, before a thread takes it."""

import re
import tempfile
from collections.abc import Iterator
from http import HTTPStatus
from typing import IO

from models.data.library.turns import LARGE_BYTES
from models.settings import Settings

LONG_BYTES = 256 * 1024  # of a prediction that takes much longer than one of a row
MAX_HEAD_BYTES = 64 * 1024
MEMORY_BYTES = 128 * 1024  # of a body, which is kept in memory in any case
HELD_BYTES = 64 * 1024**2  # of all longer ones, up to LARGE_BYTES each; others go to disk
PIECE_BYTES = 256 * 1024  # in which a body is read back
_LINE_BYTES = 8192  # of a chunk's size, and of all trailers

_END = re.compile(rb"\r?\n\r?\n")
_FIELDS = re.compile(
    rb"\n(content-length|transfer-encoding|content-type|content-encoding|expect)[ \t]*:[ \t]*"
    rb"([^\r\n]*)",
    re.IGNORECASE,
)
_EXPECT = re.compile(rb"\r\nexpect[ \t]*:[^\r\n]*", re.IGNORECASE)
_PREDICTIONS = (b"/predict", b"/invocations", b"/v1/", b"/v2/")  # paths, or their beginnings
_TARGET = re.compile(rb"[A-Z]+ ([^ ?\r\n]*)")


class Refused(Exception):
    """A request that is answered with an error before it is complete."""

    def __init__(self, status: HTTPStatus, detail: str, retry_after: int | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.retry_after = retry_after


class Spool:
    """The bytes on disk, and in memory, that the bodies of one process take while they arrive."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0
        self.held = 0  # in memory

    def hold(self, size: int) -> bool:
        """Reserve `size` bytes of memory if they are free; return whether they were."""
        is_free = self.held + size <= HELD_BYTES
        self.held += size if is_free else 0
        return is_free

    def take(self, size: int) -> None:
        """Reserve `size` bytes; raise Refused where they are not free."""
        if self.used + size > self.limit:
            raise Refused(
                HTTPStatus.SERVICE_UNAVAILABLE,
                f"The request bodies that arrive now take the {self.limit:,} bytes of"
                " LUTHIER_MAX_SPOOL_BYTES; try again.",
                retry_after=5,
            )
        self.used += size

    def give_back(self, size: int) -> None:
        """Free what was reserved."""
        self.used -= size


class Incoming:
    """A request's head and body, in memory or in a file without a name.

    The bytes are kept as they were sent, for gunicorn's parser: here only the end of the request is
    found. A body that is longer than the settings allow is not received to its end (`is_cut`); the
    application finds that and answers.
    """

    def __init__(self, settings: Settings, spool: Spool) -> None:
        self.head = b""
        self.path = b""
        self.is_begun = False  # a byte has arrived
        self.is_complete = False
        self.is_cut = False  # more may follow, which is not read
        self.wants_continue = False  # the client waits for `100 Continue`
        self.is_large = False  # reading it may take much memory
        self.is_long_prediction = False  # of many rows, but not large
        self.rest = bytearray()  # what follows the request; before the head's end, its beginning
        self._max_body = settings.max_body_bytes
        self._spool = spool
        self._reserved = 0
        self._held = 0
        self._file: IO[bytes] | None = None
        self._memory = bytearray()
        self._left = 0  # bytes until the end of the body or of the present chunk
        self._chunks: _Chunks | None = None

    @property
    def missing(self) -> int:
        """How many bytes follow for certain; 1 where that is not known."""
        return 1 if self._chunks is not None else max(1, self._left)

    def feed(self, data: bytes) -> None:
        """Take what has arrived; raise Refused if it cannot be taken."""
        self.is_begun = True
        if self.head:
            self._take_body(data)
            return
        self.rest += data if self.rest else data.lstrip(b"\r\n")
        found = _END.search(self.rest)
        if found is None:
            if len(self.rest) > MAX_HEAD_BYTES:
                raise Refused(
                    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
                    f"The head of the request has more than {MAX_HEAD_BYTES:,} bytes.",
                )
            return
        self.head = bytes(self.rest[: found.end()])
        body = bytes(self.rest[found.end() :])
        self.rest.clear()
        self._read_head()
        if not self.is_complete and body:
            self._take_body(body)
        elif body:
            self.rest += body

    def pieces(self) -> Iterator[bytes]:
        """Yield the head, and the body as it was sent."""
        yield self.head
        if self._file is None:
            if self._memory:
                yield bytes(self._memory)
            return
        self._file.seek(0)
        while piece := self._file.read(PIECE_BYTES):
            yield piece

    def close(self) -> None:
        """Forget the body."""
        self._spool.give_back(self._reserved)
        self._spool.held -= self._held
        self._reserved = self._held = 0
        self._memory.clear()
        if self._file is not None:
            self._file.close()
            self._file = None

    def _read_head(self) -> None:
        target = _TARGET.match(self.head)
        self.path = target.group(1) if target else b""
        fields = [(name.lower(), value.strip()) for name, value in _FIELDS.findall(self.head)]
        if not fields:
            self.is_complete = True
            return
        values = dict(fields)
        lengths = [value for name, value in fields if name == b"content-length"]
        coding = values.get(b"transfer-encoding", b"").lower()
        packed = values.get(b"content-encoding", b"identity").lower() != b"identity"
        if b"chunked" in coding:
            self._chunks = _Chunks()
        elif len(lengths) == 1 and lengths[0].isdigit() and len(lengths[0]) < 19 and not coding:
            self._left = int(lengths[0])
        # gunicorn's parser refuses all other heads, before it reads the body.
        self.is_large = packed or self._chunks is not None or self._left > LARGE_BYTES
        is_long = LONG_BYTES < self._left <= LARGE_BYTES and not self.is_large
        self.is_long_prediction = is_long and self.path.startswith(_PREDICTIONS)
        self.is_complete = self._left == 0 and self._chunks is None
        if self._left > self._max_body:
            self.is_cut = self.is_complete = True
            self.is_large = False  # the application refuses it by its head
        elif MEMORY_BYTES < self._left <= LARGE_BYTES and self._spool.hold(self._left):
            self._held = self._left
        elif self._left > MEMORY_BYTES:
            self._reserve(self._left)
        if values.get(b"expect", b"").lower() == b"100-continue":
            self.wants_continue = not self.is_complete
            self.head = _EXPECT.sub(b"", self.head)

    def _take_body(self, data: bytes) -> None:
        if self._chunks is not None:
            used = self._chunks.feed(data)
            self.is_complete = self._chunks.is_over
        else:
            used = min(len(data), self._left)
            self._left -= used
            self.is_complete = self._left == 0
        self._store(data[:used])
        self.rest += data[used:]
        if self._chunks is not None and self._chunks.size > self._max_body:
            self.is_cut = self.is_complete = True

    def _store(self, data: bytes) -> None:
        if self._file is None:
            self._memory += data
            if len(self._memory) <= max(MEMORY_BYTES, self._held):
                return
            data = bytes(self._memory)
        if self._chunks is not None:
            self._reserve(len(data))
        try:
            if self._file is None:
                # Its name is gone at once: a killed process leaves no file.
                self._file = tempfile.TemporaryFile(  # noqa: SIM115  # closed by `close`
                    prefix="luthier-body-", buffering=0
                )
                self._memory.clear()
            view = memoryview(data)
            while view:
                view = view[self._file.write(view) :]
        except OSError as error:
            raise Refused(
                HTTPStatus.INSUFFICIENT_STORAGE,
                f"The body cannot be stored while it arrives: {error.strerror}.",
            ) from None

    def _reserve(self, size: int) -> None:
        self._spool.take(size)
        self._reserved += size


class _Chunks:
    """Finds the end of a body in chunks (RFC 9112, section 7.1).

    What breaks the rules ends it: gunicorn's parser, which reads the same bytes, then refuses it.
    """

    def __init__(self) -> None:
        self.is_over = False
        self.size = 0  # bytes of the content so far
        self._left = 0  # of the present chunk, with the line end after it
        self._line = bytearray()
        self._in_trailers = False

    def feed(self, data: bytes) -> int:
        """Go through what has arrived; return how much of it belongs to the body."""
        place = 0
        while place < len(data) and not self.is_over:
            if self._left:
                step = min(self._left, len(data) - place)
                self._left -= step
                self.size += step
                place += step
                continue
            found = data.find(b"\n", place)
            end = len(data) if found < 0 else found + 1
            self._line += data[place:end]
            place = end
            if len(self._line) > _LINE_BYTES:
                self.is_over = True
            elif found >= 0:
                self._read_line()
        return place

    def _read_line(self) -> None:
        line = bytes(self._line).strip()
        if self._in_trailers:
            self.is_over = not line
            self._line.clear()
            return
        self._line.clear()
        digits = line.split(b";")[0].strip()
        try:
            size = int(digits, 16)
        except ValueError:
            size = -1
        if size < 0 or len(digits) > 16:
            self.is_over = True
        elif size == 0:
            self._in_trailers = True
        else:
            self._left = size + 2
