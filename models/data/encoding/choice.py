"""The choice among the encodings of a table's columns."""

from dataclasses import dataclass
from enum import StrEnum


class NumericEncoding(StrEnum):
    """How preprocessing encodes numbers, booleans and the parts of datetimes."""

    STANDARD = "standard"  # mean 0 and deviation 1
    ROBUST = "robust"  # median 0, scaled by the interquartile range, clipped smoothly at ±3
    QUANTILE = "quantile"  # to a normal distribution, by quantiles
    PIECEWISE = "piecewise"  # the part of each quantile bin that lies below


class CategoryEncoding(StrEnum):
    """How preprocessing encodes categories."""

    ONE_HOT = "one_hot"  # a place for each frequent value
    TARGET = "target"  # the mean target of the rows that hold the value


@dataclass(frozen=True, slots=True)
class Encoding:
    """What preprocessing makes of the columns; equal encodings make equal rows.

    Encodings that are trained are layers of the network and no part of it: periodic ones read
    `standard` numbers, and embeddings read `one_hot` places.
    """

    numeric: NumericEncoding = NumericEncoding.STANDARD
    bins: int = 0  # of each number, at most; of `piecewise` alone
    category: CategoryEncoding = CategoryEncoding.ONE_HOT
    missing_indicators: bool = False  # 0/1 for columns with missing cells in the training rows


STANDARD = Encoding()
