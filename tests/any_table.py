"""Strategies of Hypothesis for tables such as anybody might send, good and bad."""

import datetime as dt

from hypothesis import strategies as st

from models.data.spelling import MISSING_TEXTS

# Half a surrogate pair is no character: no file of UTF-8 can hold one.
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
NAMES = st.one_of(st.sampled_from(["a", "b", "c", "features", "größe (cm)", "a,b", "42"]), TEXT)
DATES = st.one_of(st.datetimes(), st.datetimes(timezones=st.just(dt.UTC)), st.dates())

CELLS = {
    "integers": st.integers(-1000, 1000),
    "large integers": st.integers(-(10**40), 10**40),
    "floats": st.floats(),
    "booleans": st.booleans(),
    "texts": TEXT,
    "words": st.sampled_from(["Graz", "Wien", "東京", "🚂", *MISSING_TEXTS]),
    "number texts": st.sampled_from(["1", "-2.5", "1e400", "007", "1,5", "inf", "NaN", "٣", "+.5"]),
    "dates": DATES.map(lambda date: date.isoformat()),
    "odd dates": st.sampled_from(["2024-02-30", "0000-01-01", "9999-12-31T23:59:59.999999Z"]),
    "boolean texts": st.sampled_from(["true", "no", "YES", "False"]),
    "money": st.sampled_from(["$1,234.50", "($300)", "-$5", " $7 ", "?", "$0.5"]),
    "commas": st.sampled_from(["1.234,5", "0,25", "-3", "12,5", "n.a."]),
    "units": st.sampled_from(["5 km", "3km", "10 KM", "-", "0.5 km"]),
    "written dates": st.sampled_from(["31.12.2020", "1.2.2021 10:30", "3.4.2019", "unknown"]),
    "nothing": st.none(),
}


@st.composite
def columns(draw, rows):
    """Cells of one column: of one kind, or of several, with gaps."""
    kinds = draw(st.lists(st.sampled_from(list(CELLS)), min_size=1, max_size=2))
    cell = st.one_of(*(CELLS[kind] for kind in kinds))
    if draw(st.booleans()):
        cell = cell | st.none()
    few = draw(st.integers(1, 3))
    drawn = draw(st.lists(cell, min_size=min(few, rows), max_size=rows))
    # Repeated, so that there are categories with more than one row.
    return [drawn[number % len(drawn)] if drawn else None for number in range(rows)]


@st.composite
def tables(draw, names=NAMES, least=0, unique=False):
    """Names, and the cells of each column; names may repeat, and there may be no row at all."""
    rows = draw(st.integers(least, 12))
    header = draw(st.lists(names, min_size=least, max_size=4, unique=unique))
    return header, [draw(columns(rows)) for _ in header]
