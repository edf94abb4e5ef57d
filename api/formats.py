"""Which of several forms of an answer a caller wants."""

from collections.abc import Mapping

from flask import request


def wanted_format(asked: str | None, media_types: Mapping[str, str]) -> str:
    """The form named in the query, else the one that `Accept` likes best, else the first.

    `media_types` has the media type of each form by its name.
    """
    if asked is not None:
        return asked
    names = {media_type: name for name, media_type in media_types.items()}
    default = next(iter(names))
    return names[request.accept_mimetypes.best_match(names, default) or default]
