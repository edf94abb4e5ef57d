"""How many rows go through a network at once where nothing is learned from them."""

_MOST_ROWS = 8192
_MOST_PIXELS = 2**19


def rows_at_once(shape: tuple[int, ...]) -> int:
    """Rows to pass in one piece: of numbers (features,), or images (height, width[, channels]).

    A convolution keeps as many numbers of every pixel as it has filters, so the pixels are
    limited: a map of 64 filters over as many as are passed takes 128 MiB.
    """
    if len(shape) < 2:
        return _MOST_ROWS
    height, width = shape[:2]
    return max(1, min(_MOST_ROWS, _MOST_PIXELS // (height * width)))
