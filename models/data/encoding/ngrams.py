"""N-grams of texts: which there are, and how often each occurs.

A text is a row of characters. Each becomes a letter without accent and case, or a gap, which is
whatever separates words. N-grams are words, pairs of words and parts of words, with the gaps
around them, so that one search over the characters finds all.
"""

import sys
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.feature_extraction.text import CountVectorizer

from models.data.columns import MAX_CHARACTERS
from models.data.encoding.features import Array

MAX_GRAMS = 4096
MAX_GRAM = 24  # characters of an n-gram, its gaps included
MAX_LETTERS = 512
MIN_TEXTS = 2  # that an n-gram must occur in
GAP = " "
GAP_CODE = 1

_IDEOGRAPHS = "\u2e80"  # from here on there are scripts that have no gaps between words
_COMMON = (range(0x3000), range(0xFF00, 0xFFF0))  # characters that are folded even if unseen
_AT_ONCE = 2_000_000  # characters that are searched in one pass


def fold(character: str) -> str:
    """Return the letter of a character, without accent and in lower case, or GAP.

    Letters, digits and symbols such as emoji are letters. NFC and NFD differ only for accents that
    stand alone, which are gaps.
    """
    plain = [
        part
        for part in unicodedata.normalize("NFKD", character)
        if unicodedata.category(part)[0] != "M"
    ]
    letter = "".join(plain).casefold()
    if len(letter) != 1:  # such as ß and ﬁ
        letter = character.lower() if len(character.lower()) == 1 else character
    is_letter = letter.isalnum() or unicodedata.category(letter)[0] == "S"
    return letter if is_letter else GAP


def find_letters(texts: Sequence[str]) -> dict[str, str]:
    """Return the letter of each character, for the MAX_LETTERS most frequent letters of `texts`."""
    points, counts = np.unique(_points("".join(texts)), return_counts=True)
    seen = {chr(point): fold(chr(point)) for point in points.tolist()}
    frequency: dict[str, int] = {}
    for letter, count in zip(seen.values(), counts.tolist(), strict=True):
        frequency[letter] = frequency.get(letter, 0) + count
    frequency.pop(GAP, None)
    kept = set(sorted(frequency, key=lambda letter: (-frequency[letter], letter))[:MAX_LETTERS])
    return {
        character: letter
        for character, letter in sorted({**_common(), **seen}.items())
        if letter in kept
    }


def find_grams(texts: Sequence[str], letters: Mapping[str, str]) -> tuple[str, ...]:
    """Return the MAX_GRAMS most frequent n-grams, short ones first.

    Half are words and pairs of words, half are parts of words, of 3 and 4 characters, or of 1 to 3
    in scripts that have no gaps between words.
    """
    table = _Table({ord(character): letter for character, letter in letters.items()})
    vectorizer = CountVectorizer(analyzer=_grams, binary=True)
    try:
        found = vectorizer.fit_transform(text.translate(table) for text in texts)
    except ValueError:  # no text has any letter
        return ()
    names = vectorizer.get_feature_names_out()
    frequency = dict(zip(names, np.asarray(found.sum(axis=0)).ravel().tolist(), strict=True))
    ranked = sorted(names, key=lambda gram: (-frequency[gram], gram))
    frequent = [gram for gram in ranked if frequency[gram] >= MIN_TEXTS]
    words = [gram for gram in frequent if gram[0] == gram[-1] == GAP]
    pieces = [gram for gram in frequent if not gram[0] == gram[-1] == GAP]
    kept = words[: MAX_GRAMS // 2] + pieces[: MAX_GRAMS // 2]
    return tuple(sorted(map(str, kept), key=lambda gram: (len(gram), gram)))


class Search:
    """Counts n-grams in texts, all at once: a trie, walked from each character in step."""

    def __init__(self, letters: Mapping[str, str], grams: Sequence[str]) -> None:
        codes = letter_codes(letters)
        self._grams = len(grams)
        self._codes = np.full(sys.maxunicode + 1, GAP_CODE, dtype=np.int32)
        for character, letter in letters.items():
            self._codes[ord(character)] = codes[letter]
        steps: dict[tuple[int, int], int] = {}
        ends = {}
        for number, gram in enumerate(grams):
            node = 0
            for letter in gram:
                node = steps.setdefault((node, codes[letter]), len(steps) + 1)
            ends[node] = number
        self._children = np.zeros((len(steps) + 1, len(codes) + 1), dtype=np.int32)
        for (node, code), child in steps.items():
            self._children[node, code] = child
        self._ends = np.full(len(steps) + 1, -1, dtype=np.int64)
        self._ends[list(ends)] = list(ends.values())

    def count(self, values: Array) -> Any:
        """Count in (rows,) str or None: a CSR matrix, float64 (rows, n-grams)."""
        blocks = [self._count(piece) for piece in _pieces(values)]
        return sparse.vstack(blocks, format="csr") if len(blocks) > 1 else blocks[0]

    def _count(self, texts: list[str]) -> Any:
        lengths = np.fromiter(map(len, texts), np.int64, len(texts))
        # Two gaps part texts: no n-gram has two in a row. A 0, which is no letter, ends the walk.
        codes = self._codes[_points(GAP + "  ".join(texts) + GAP)]
        codes = np.append(codes, np.zeros(MAX_GRAM, np.int32))
        rows = np.repeat(np.arange(len(texts)), lengths + 2)
        places = np.arange(len(rows))
        nodes = self._children[0, codes[: len(rows)]]
        found = []
        for depth in range(MAX_GRAM):
            alive = nodes > 0
            places, nodes = places[alive], nodes[alive]
            grams = self._ends[nodes]
            is_end = grams >= 0
            # The row is that of the first character, `depth` places before.
            found.append(rows[places[is_end] - depth] * self._grams + grams[is_end])
            if not len(nodes):
                break
            places = places + 1
            nodes = self._children[nodes, codes[places]]
        cells, counts = np.unique(np.concatenate(found), return_counts=True)
        where = np.divmod(cells, self._grams)
        shape = (len(texts), self._grams)
        return sparse.csr_matrix((counts.astype(np.float64), where), shape=shape)


def letter_codes(letters: Mapping[str, str]) -> dict[str, int]:
    """Return the code of each letter, from 2 on, and of GAP, GAP_CODE."""
    codes = {letter: code for code, letter in enumerate(sorted(set(letters.values())), 2)}
    return {GAP: GAP_CODE, **codes}


def _grams(text: str) -> Iterator[str]:
    words = text.split()
    for word in words:
        if len(word) + 2 <= MAX_GRAM:
            yield f" {word} "
        sizes = (1, 2, 3) if word[0] >= _IDEOGRAPHS else (3, 4)
        padded = f" {word} "
        for size in sizes:
            for start in range(len(padded) - size + 1):
                gram = padded[start : start + size]
                if gram != padded and gram != GAP:
                    yield gram
    for first, second in pairwise(words):
        if len(first) + len(second) + 3 <= MAX_GRAM:
            yield f" {first} {second} "


class _Table(dict[int, str]):
    """Letters for `str.translate`; every other character is a gap."""

    def __missing__(self, point: int) -> str:
        return GAP


@lru_cache(maxsize=1)
def _common() -> dict[str, str]:
    return {chr(point): fold(chr(point)) for points in _COMMON for point in points}


def _points(text: str) -> Array:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")


def _pieces(values: Array) -> Iterator[list[str]]:
    """Yield the texts, cut to MAX_CHARACTERS, in runs of about _AT_ONCE characters."""
    run: list[str] = []
    size = 0
    for value in values:
        text = "" if value is None else value[:MAX_CHARACTERS]
        run.append(text)
        size += len(text)
        if size > _AT_ONCE:
            yield run
            run, size = [], 0
    if run or not len(values):
        yield run
