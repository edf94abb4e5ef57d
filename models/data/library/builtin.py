"""The table of built-in datasets; `builtin_loading` loads them with heavy libraries."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from models.data.preparation.tasks import Task

PREFIX = "builtin:"


@dataclass(frozen=True, slots=True)
class Builtin:
    """The facts of a built-in dataset that are known before it is loaded."""

    name: str
    task: Task
    columns: tuple[str, ...]  # without the target; `x` alone is an image
    rows: int
    source: str  # the function or module that loads it
    target: str = "target"
    classes: int = 0  # numbered from 0; 0 for a regression
    shape: tuple[int, ...] = ()  # of an image that may have to be downloaded
    rarer: int = 1  # of two classes the one with fewer rows, the second of equals

    @property
    def is_image(self) -> bool:
        """Whether its only feature is an image."""
        return self.columns == ("x",)


_SKLEARN = "sklearn.datasets.load_"
_KERAS = "keras.datasets."


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split(", "))


_IRIS = _names("sepal length (cm), sepal width (cm), petal length (cm), petal width (cm)")
_WINE = _names(
    "alcohol, malic_acid, ash, alcalinity_of_ash, magnesium, total_phenols, flavanoids,"
    " nonflavanoid_phenols, proanthocyanins, color_intensity, hue, od280/od315_of_diluted_wines,"
    " proline"
)
_CELLS = _names(
    "radius, texture, perimeter, area, smoothness, compactness, concavity, concave points,"
    " symmetry, fractal dimension"
)
_BREAST_CANCER = (
    *(f"mean {name}" for name in _CELLS),
    *(f"{name} error" for name in _CELLS),
    *(f"worst {name}" for name in _CELLS),
)
_DIABETES = _names("age, sex, bmi, bp, s1, s2, s3, s4, s5, s6")
_CALIFORNIA = _names(
    "longitude, latitude, housing_median_age, total_rooms, total_bedrooms, population,"
    " households, median_income"
)
_BOSTON = _names("crim, zn, indus, chas, nox, rm, age, dis, rad, tax, ptratio, b, lstat")


def _downloaded_images(name: str) -> Builtin:
    return Builtin(name, Task.MULTICLASS, ("x",), 70000, _KERAS + name, shape=(28, 28), classes=10)


_BINARY, _MULTICLASS, _REGRESSION = Task.BINARY, Task.MULTICLASS, Task.REGRESSION
_ALL = (
    Builtin("iris", _MULTICLASS, _IRIS, 150, _SKLEARN + "iris", classes=3),
    Builtin("wine", _MULTICLASS, _WINE, 178, _SKLEARN + "wine", classes=3),
    Builtin(
        "breast_cancer",
        _BINARY,
        _BREAST_CANCER,
        569,
        _SKLEARN + "breast_cancer",
        classes=2,
        rarer=0,
    ),
    Builtin("digits", _MULTICLASS, ("x",), 1797, _SKLEARN + "digits", classes=10),
    Builtin("diabetes", _REGRESSION, _DIABETES, 442, _SKLEARN + "diabetes"),
    Builtin("xor", _BINARY, ("x1", "x2"), 4, "luthier", classes=2),
    _downloaded_images("mnist"),
    _downloaded_images("fashion_mnist"),
    Builtin("california_housing", _REGRESSION, _CALIFORNIA, 20640, _KERAS + "california_housing"),
    Builtin("boston_housing", _REGRESSION, _BOSTON, 506, _KERAS + "boston_housing"),
)
BUILTINS: Mapping[str, Builtin] = MappingProxyType({item.name: item for item in _ALL})
