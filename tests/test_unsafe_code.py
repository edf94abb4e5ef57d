"""Nothing that we read can run: no pickle, no eval, no foreign Keras file."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted(
    path for name in ("api", "luthier", "models") for path in (ROOT / name).rglob("*.py")
)
# They exchange pickled tasks with the other processes of a worker, as multiprocessing does.
OWN_PROCESSES = {
    "models/executors/ray.py",
    "models/executors/slot.py",
    "models/jobs/worker/tasks.py",
}
UNPICKLERS = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}
# Of pandas, PyTorch, Keras and PyYAML: each can run what a file says.
LOADERS = {"read_pickle", "load_model", "unsafe_load", "full_load", "deserialize_keras_object"}
RUNNERS = {"eval", "exec", "compile", "__import__"}


def findings(source: str) -> Iterator[str]:
    """Everything in a module that reads more than data."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (n.name for n in node.names if n.name.partition(".")[0] in UNPICKLERS)
        elif isinstance(node, ast.ImportFrom):
            names = {(node.module or "").partition(".")[0], *(n.name for n in node.names)}
            yield from names & (UNPICKLERS | LOADERS)
        elif isinstance(node, ast.Call):
            yield from _of_call(node)


def _of_call(node: ast.Call) -> Iterator[str]:
    keywords = {word.arg: word.value for word in node.keywords}
    if isinstance(node.func, ast.Name) and node.func.id in RUNNERS:
        yield node.func.id
    if isinstance(node.func, ast.Attribute):
        owner = node.func.value
        is_numpy = isinstance(owner, ast.Name) and owner.id in ("np", "numpy")
        if node.func.attr in LOADERS:
            yield node.func.attr
        if is_numpy and node.func.attr == "load" and "allow_pickle" not in keywords:
            yield "np.load without allow_pickle=False"
    for name, wanted in (("allow_pickle", False), ("safe_mode", True), ("shell", False)):
        value = keywords.get(name)
        if value is not None and not (isinstance(value, ast.Constant) and value.value is wanted):
            yield f"{name} is not {wanted}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_of_ours_runs_what_it_reads(path: Path) -> None:
    allowed = ["pickle"] if path.relative_to(ROOT).as_posix() in OWN_PROCESSES else []
    assert list(findings(path.read_text(encoding="utf-8"))) == allowed


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "import joblib.numpy_pickle",
        "from dill import load",
        "from sklearn.externals import joblib",
        "np.load(file)",
        "numpy.load(file, allow_pickle=True)",
        "np.load(file, allow_pickle=wanted)",
        "keras.saving.load_model(path)",
        "keras.models.load_model(path, safe_mode=False)",
        "from keras.saving import load_model",
        "yaml.unsafe_load(text)",
        "pd.read_pickle(path)",
        "eval(text)",
        "subprocess.run(command, shell=True)",
    ],
)
def test_the_check_finds_what_it_is_for(source: str) -> None:
    assert list(findings(source))


@pytest.mark.parametrize("source", ["np.load(file, allow_pickle=False)", "json.load(file)"])
def test_the_check_leaves_data_alone(source: str) -> None:
    assert not list(findings(source))
