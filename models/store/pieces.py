"""Stored files in pieces, for answers that are larger than the memory they should take."""

import hashlib
from collections.abc import Callable
from typing import BinaryIO

from models.errors import ArtifactError

PIECE = 256 * 1024  # bytes that are read at once


class CheckedPieces:
    """The bytes of one stored file, as an iterator of pieces that can seek before it starts.

    Read from the start, its last piece is kept back until the SHA-256 of all is known to be
    `sha256`: whoever counts the bytes then never takes a damaged file for a whole one. After a
    seek nothing is compared. Holds two pieces at most.
    """

    def __init__(
        self, open_file: Callable[[], BinaryIO], sha256: str, size: int, what: str
    ) -> None:
        self._open_file = open_file
        self._what = what  # named in errors
        self._sha256 = sha256
        self._size = size
        self._file: BinaryIO | None = None
        self._next = b""
        self._digest = hashlib.sha256()
        self._is_whole = True  # whether it is read from the start

    def open(self) -> None:
        """Open the file and read the first piece; raises as `open_file`, and ArtifactError.

        A file of one piece is compared here.
        """
        self._file = self._open_file()
        if self._file.seek(0, 2) != self._size:
            raise self._damaged()
        self._file.seek(0)
        if self._is_whole:
            self._next = self._read()
            if len(self._next) == self._size:
                self._compare()

    def __iter__(self) -> "CheckedPieces":
        return self

    def __next__(self) -> bytes:
        if not self._is_whole:
            piece = self._read()
        else:
            piece, self._next = self._next, self._read()
            if not self._next:
                self._compare()
        if not piece:
            raise StopIteration
        return piece

    def seekable(self) -> bool:
        """Return True: a range of the bytes can be asked for."""
        return True

    def seek(self, place: int) -> int:
        """Go to a byte, from which on pieces follow that are not compared."""
        self._is_whole, self._next = False, b""
        return self._opened().seek(place)

    def tell(self) -> int:
        """Return the number of the next byte."""
        return self._opened().tell()

    def close(self) -> None:
        """Close the file, if it is open."""
        if self._file is not None:
            self._file.close()

    def _opened(self) -> BinaryIO:
        if self._file is None:
            self.open()
        assert self._file is not None
        return self._file

    def _read(self) -> bytes:
        piece = self._opened().read(PIECE)
        self._digest.update(piece)
        return piece

    def _compare(self) -> None:
        if self._is_whole and self._digest.hexdigest() != self._sha256:
            raise self._damaged()

    def _damaged(self) -> ArtifactError:
        self.close()
        return ArtifactError(
            f"{self._what} cannot be used: it is not the file that was written: its size or its"
            " SHA-256 differs."
        )
