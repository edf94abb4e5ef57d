"""The route of an alias: the versions that answer its requests, and one that only computes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from models.errors import Invalid
from models.registry.documents import Document

MAX_VERSIONS = 8  # that share the requests of one alias
SUM_TOLERANCE = 1e-6  # of weights, whose sum is 1


@dataclass(frozen=True, slots=True)
class Route:
    """The versions that an alias names."""

    weights: Mapping[int, float]  # share of the requests by version; above 0, the sum is 1
    shadow: int | None = None  # computes beside the version that answers

    @classmethod
    def stored(cls, version: int, weights: Document | None, shadow: int | None) -> "Route":
        """Return the route that columns of this name hold; no weights: `version` answers all.

        `version` answers all, too, if the weights are of a form that this release does not know, or
        were left by a release that knows none and has moved the alias since.
        """
        alone = cls({version: 1.0}, None if shadow == version else shadow)
        try:
            shares = {int(number): float(share) for number, share in (weights or {}).items()}
        except (AttributeError, TypeError, ValueError):
            return alone
        found = cls(shares, shadow)
        return found if shares and found.version == version else alone

    @property
    def version(self) -> int:
        """The version with the largest weight; of equal ones, the oldest."""
        return min(self.weights, key=lambda version: (-self.weights[version], version))

    @property
    def versions(self) -> tuple[int, ...]:
        """Every version that it names, the shadow last."""
        shadow = () if self.shadow is None else (self.shadow,)
        return (*sorted(self.weights), *shadow)

    @property
    def shares(self) -> dict[str, float] | None:
        """The weights as JSON has them, in the order of the versions; None for one version."""
        if len(self.weights) == 1:
            return None
        return {str(version): self.weights[version] for version in sorted(self.weights)}

    @property
    def columns(self) -> dict[str, Any]:
        """The values of the columns that keep it."""
        return {"version": self.version, "weights": self.shares, "shadow": self.shadow}

    @property
    def tag(self) -> str:
        """A text that changes with it: `3`, or such as `3:0.9/4:0.1;shadow=5`."""
        shares = self.shares
        text = str(self.version)
        if shares is not None:
            text = "/".join(f"{version}:{share!r}" for version, share in shares.items())
        return text if self.shadow is None else f"{text};shadow={self.shadow}"

    def __str__(self) -> str:
        shares = self.shares
        if shares is None:
            text = f"version {self.version}"
        else:
            each = [f"{version} ({share:g})" for version, share in shares.items()]
            text = f"versions {', '.join(each[:-1])} and {each[-1]}"
        return text if self.shadow is None else f"{text}, with the shadow {self.shadow}"


@dataclass(frozen=True, slots=True)
class RouteChange:
    """What is to change of a route: the version or versions that answer, the shadow, or both."""

    weights: Mapping[int, float] | None = None  # None: as they are
    shadow: int | None = None
    keeps_shadow: bool = True  # then `shadow` does not count

    @classmethod
    def to(cls, version: int) -> "RouteChange":
        """Let one version answer all requests."""
        return cls({version: 1.0})

    @property
    def versions(self) -> set[int]:
        """The versions that it names."""
        named = set(self.weights or ())
        return named if self.keeps_shadow or self.shadow is None else named | {self.shadow}

    def applied_to(self, present: Route | None) -> Route:
        """Return the new route; a shadow that is kept ends where its version begins to answer.

        Raises Invalid at `shadow` if its version answers, and at `version` if nothing does.
        """
        weights = self.weights
        if weights is None and present is not None:
            weights = present.weights
        if weights is None:
            raise Invalid.at("version", "The alias is new: give a version or weights.")
        if self.keeps_shadow:
            kept = present.shadow if present else None
            return Route(weights, None if kept in weights else kept)
        if self.shadow in weights:
            raise Invalid.at("shadow", f"Version {self.shadow} answers requests of the alias.")
        return Route(weights, self.shadow)
