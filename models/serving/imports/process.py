"""A short-lived process that reads and runs a graph of unknown origin."""

import json
import math
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models import errors
from models.limited_process import begin, run_limited
from models.registry.documents import Document

_SECONDS = 120.0  # that a graph may take to be read and run
_UPLOADED, _GRAPH, _PAGE = "uploaded.onnx", "model.onnx", "README.md"


@dataclass(frozen=True, slots=True)
class Imported:
    """The files of a version that an uploaded graph became."""

    graph: bytes
    page: str
    signature: Document
    parameters: int  # numbers in its constants


def import_in_process(
    content: bytes, wanted: Mapping[str, Any], model: str, memory: int, seconds: float = _SECONDS
) -> Imported:
    """Read and run a graph in a process of its own, in an empty folder.

    `wanted` has the fields of `models.serving.imports.inputs.Wanted`. Raises what
    `models.serving.imports.graph.import_graph` raises, Invalid for a graph that takes longer than
    `seconds`, and TooLarge for one that takes more than `memory` bytes.
    """
    with tempfile.TemporaryDirectory(prefix="luthier-import-") as name:
        folder = Path(name)
        (folder / _UPLOADED).write_bytes(content)
        task = {"wanted": dict(wanted), "model": model}
        try:
            found = run_limited(__name__, task, memory, seconds, folder=name)
        except TimeoutError:
            raise errors.Invalid.at("file", f"It takes longer than {seconds:g} seconds.") from None
        except MemoryError:
            raise _out_of_memory(memory) from None
        if "invalid" in found:
            raise errors.Invalid(found["invalid"])
        if "memory" in found:
            raise _out_of_memory(memory)
        page = (folder / _PAGE).read_text(encoding="utf-8")
        graph = (folder / _GRAPH).read_bytes()
        return Imported(graph, page, found["signature"], found["parameters"])


def _out_of_memory(memory: int) -> errors.TooLarge:
    return errors.TooLarge(
        f"Running the graph takes more memory than the {memory:,} bytes of LUTHIER_UPLOAD_MEMORY."
    )


def main() -> None:
    """Do the task of standard input, and write the answer to standard output."""
    task = begin()
    if task is None:
        return
    try:
        answer = _import(task)
    except errors.Invalid as error:
        answer = {"invalid": error.errors}
    except MemoryError:
        answer = {"memory": True}
    except Exception as error:  # of onnx or ONNX Runtime: whatever it is, it is the graph's
        told = f"It cannot be used: {type(error).__name__}: {error}"
        answer = {"memory": True} if "alloc" in told else {"invalid": {"file": [told]}}
    json.dump(answer, sys.stdout)


def _import(task: Mapping[str, Any]) -> dict[str, Any]:
    import onnx

    from models.serving.imports.graph import import_graph
    from models.serving.imports.inputs import Wanted

    content = Path(_UPLOADED).read_bytes()
    Path(_UPLOADED).unlink()
    graph, signature, page = import_graph(content, Wanted(**task["wanted"]), task["model"])
    constants = onnx.load_model_from_string(graph).graph.initializer
    Path(_GRAPH).write_bytes(graph)
    Path(_PAGE).write_text(page, encoding="utf-8")
    return {"signature": signature, "parameters": sum(math.prod(each.dims) for each in constants)}


if __name__ == "__main__":
    main()
