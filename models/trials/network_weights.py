"""The weights of a network as a stored file, without pickle."""

import io
from zipfile import BadZipFile

import numpy as np

from models.errors import ArtifactError
from models.store.artifacts import Artifacts
from models.trials.trainers.base import Weights


def weights_name(folder: str, fold: int, execution: int) -> str:
    """Return the name of the artifact with the best weights of one run of a trial."""
    return f"{folder}/weights-{fold}-{execution}.npz"


def save_weights(artifacts: Artifacts, name: str, weights: Weights) -> None:
    """Store the arrays as .npz, numbered in the order of `keras.Model.get_weights`."""
    buffer = io.BytesIO()
    numbered = {str(number): array for number, array in enumerate(weights)}
    np.savez(buffer, allow_pickle=False, **numbered)
    artifacts.write(name, buffer.getvalue())


def load_weights(artifacts: Artifacts, name: str) -> Weights:
    """Return the arrays that `save_weights` stored; raise ArtifactError if they cannot be read."""
    content = io.BytesIO(artifacts.read(name))
    try:
        with np.load(content, allow_pickle=False) as arrays:
            return [arrays[str(number)] for number in range(len(arrays.files))]
    except (ValueError, KeyError, OSError, BadZipFile) as error:
        raise ArtifactError(f"The stored weights {name!r} cannot be read: {error}") from None
