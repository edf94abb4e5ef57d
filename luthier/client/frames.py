"""DataFrames in and out; pandas is imported only where it is used."""

import io
import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeGuard

if TYPE_CHECKING:
    import pandas as pd

PARQUET = "application/vnd.apache.parquet"
ROWS_AT_ONCE = 5_000  # of one prediction request; the service takes 10,000 by default


def is_frame(data: Any) -> "TypeGuard[pd.DataFrame]":
    """Return whether something is a DataFrame, without importing pandas."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(data, pandas.DataFrame)


def to_parquet(frame: "pd.DataFrame") -> bytes:
    """Return a DataFrame as a Parquet file without its index.

    Raises ImportError, which says what to install, where pyarrow is missing.
    """
    content = io.BytesIO()
    try:
        frame.to_parquet(content, index=False, engine="pyarrow")
    except ImportError:
        raise ImportError(
            "DataFrames are sent as Parquet, which needs pyarrow:"
            " pip install 'luthier-client[pandas]'"
        ) from None
    return content.getvalue()


def parts(frame: "pd.DataFrame") -> "Iterator[pd.DataFrame]":
    """Yield a DataFrame in parts that one request takes."""
    for start in range(0, len(frame), ROWS_AT_ONCE):
        yield frame.iloc[start : start + ROWS_AT_ONCE]


def predictions_of(answer: Mapping[str, Any], index: "pd.Index") -> "pd.DataFrame":
    """Return an answer of `POST /predict` as a DataFrame.

    The columns are `prediction`, `probability_<class>`, `lower`, `upper` and `labels`, as in CSV.
    """
    import pandas as pd

    columns: dict[str, Any] = {"prediction": answer["predictions"]}
    shares = zip(*(answer.get("probabilities") or []), strict=True)
    for label, column in zip(answer.get("classes") or [], shares, strict=True):
        name = str(label).lower() if isinstance(label, bool) else label
        columns[f"probability_{name}"] = column
    columns |= {name: answer[name] for name in ("lower", "upper", "labels") if name in answer}
    if isinstance(answer["predictions"][0], Mapping):  # several targets
        return pd.DataFrame(answer["predictions"], index=index)
    return pd.DataFrame(columns, index=index)


def joined(frames: "list[pd.DataFrame]", index: "pd.Index") -> "pd.DataFrame":
    """Return the predictions of all parts as one DataFrame."""
    import pandas as pd

    return pd.concat(frames) if frames else pd.DataFrame({"prediction": []}, index=index)
