"""Limits on a request's body, counted while it is read."""

import io
import zlib
from contextlib import ExitStack
from typing import IO, Any

import flask
from flask import Flask, g, request
from gunicorn.http.errors import ParseException
from werkzeug.exceptions import ClientDisconnected
from werkzeug.utils import cached_property

from api.services import services
from models.data.library.turns import LARGE_BYTES
from models.errors import Malformed, TooLarge, UnsupportedMediaType

_PIECE = 64 * 1024  # bytes
_GZIP = 16 + zlib.MAX_WBITS


def register(app: Flask) -> None:
    """Let requests to `app` that may take much memory wait for each other."""
    app.before_request(_take_turn)
    app.teardown_request(lambda _: give_back_turn())


def current_body() -> bytes:
    """Return the whole body of the present request; raise TooLarge as `read_whole`."""
    sent: Any = request  # a proxy
    return bytes(sent.read_whole())


def give_back_turn() -> None:
    """Let the next large request begin; the present one needs little memory from now on."""
    turn: ExitStack | None = g.pop("turn", None)
    if turn is not None:
        turn.close()


def _take_turn() -> None:
    length, environ = request.content_length, request.environ
    is_packed = "HTTP_CONTENT_ENCODING" in environ
    is_unknown = length is None and "HTTP_TRANSFER_ENCODING" in environ
    is_large = length is not None and LARGE_BYTES < length <= services().settings.max_body_bytes
    if is_large or is_packed or is_unknown:
        g.turn = ExitStack()
        g.turn.enter_context(services().turns.take())


class LimitedRequest(flask.Request):
    """A request whose body is limited, also where it names no length, and inflated if it is gzip.

    Reading it raises TooLarge, Malformed for broken gzip, UnsupportedMediaType for another coding.
    """

    @cached_property
    def stream(self) -> Any:
        """The body, inflated if it was packed, as a binary stream."""
        settings = services().settings
        sent, limit = super().stream, settings.max_body_bytes
        if (self.content_length or 0) > limit:
            raise _too_large(limit)
        coding = self.environ.get("HTTP_CONTENT_ENCODING", "identity").strip().lower()
        if coding not in ("identity", "gzip"):
            raise UnsupportedMediaType(f"The content coding {coding!r} is not read; gzip is.")
        if coding == "gzip":
            packed = _Counted(sent, limit)
            return io.BufferedReader(_Inflated(packed, settings.max_inflated_bytes))
        # Servers read no further than the length that a request names.
        return io.BufferedReader(_Counted(sent, limit)) if self.content_length is None else sent

    def read_whole(self) -> bytes:
        """Return the body, inflated, of a request that is read in memory.

        Raises TooLarge for more than LUTHIER_MAX_JSON_BYTES.
        """
        settings = services().settings
        limit = settings.max_json_bytes
        if "_cached_data" in self.__dict__:
            return self.get_data()
        length = self.content_length
        is_small = length is not None and length <= min(limit, settings.max_body_bytes, LARGE_BYTES)
        if is_small and self._is_plain:  # the general way takes ten times as long
            body: bytes = self.environ["wsgi.input"].read(length)
            if len(body) < (length or 0):
                raise ClientDisconnected
            self._cached_data = body
            return body
        pieces: list[bytes] = []
        size = 0
        while piece := self.stream.read(_PIECE):
            size += len(piece)
            if size > limit:
                raise TooLarge(
                    f"The body has more than {limit:,} bytes, the most that LUTHIER_MAX_JSON_BYTES"
                    " allows for JSON and for rows to predict. Send a dataset as a file, in a form."
                )
            pieces.append(piece)
        self._cached_data = b"".join(pieces)
        return self._cached_data

    @property
    def _is_plain(self) -> bool:
        return "HTTP_CONTENT_ENCODING" not in self.environ and "stream" not in self.__dict__


class _Counted(io.RawIOBase):
    """The bytes that a client sends, up to the limit."""

    def __init__(self, sent: IO[bytes], limit: int) -> None:
        self._sent = sent
        self._limit = limit
        self._seen = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        # One byte past the limit tells a body that is too large from one that just fits.
        try:
            piece = self._sent.read(min(len(buffer), self._limit - self._seen + 1))
        except ParseException as error:
            raise Malformed(f"The body is not sent as HTTP/1.1 has it: {error}") from None
        self._seen += len(piece)
        if self._seen > self._limit:
            raise _too_large(self._limit)
        buffer[: len(piece)] = piece
        return len(piece)


class _Inflated(io.RawIOBase):
    """The content of a gzip stream, never unpacked further than the limit."""

    def __init__(self, packed: io.RawIOBase, limit: int) -> None:
        self._packed = packed
        self._limit = limit
        self._inflater = zlib.decompressobj(_GZIP)
        self._waiting = b""
        self._seen = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        piece = self._next(len(buffer))
        self._seen += len(piece)
        if self._seen > self._limit:
            raise TooLarge(
                f"The body has more than {self._limit:,} bytes unpacked, the most that"
                " LUTHIER_MAX_INFLATED_BYTES allows."
            )
        buffer[: len(piece)] = piece
        return len(piece)

    def _next(self, size: int) -> bytes:
        while not self._inflater.eof:
            if not self._waiting:
                self._waiting = self._packed.read(_PIECE) or b""
                if not self._waiting:
                    raise Malformed("The gzip body ends too early.")
            try:
                piece = self._inflater.decompress(self._waiting, size)
            except zlib.error as error:
                raise Malformed(f"The body is not gzip: {error}") from None
            self._waiting = self._inflater.unconsumed_tail
            if piece:
                return piece
        if self._inflater.unused_data or self._packed.read(1):
            raise Malformed("The gzip body goes on after its end.")
        return b""


def _too_large(limit: int) -> TooLarge:
    return TooLarge(
        f"The body has more than {limit:,} bytes, the most that LUTHIER_MAX_BODY_BYTES allows."
    )
