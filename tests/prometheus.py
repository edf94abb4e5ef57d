"""Reading what `/metrics` answers."""

from collections.abc import Mapping

from prometheus_client.parser import text_string_to_metric_families

Samples = dict[str, list[tuple[Mapping[str, str], float]]]  # by name: labels and value


def samples(text: str) -> Samples:
    """Every sample of an exposition by its name, such as `x_total` or `x_bucket`."""
    found: Samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return found


def value(text: str, name: str, **labels: str) -> float:
    """The sum of the samples of `name` that have these labels; 0 where there is none."""
    return sum(
        number for own, number in samples(text).get(name, []) if labels.items() <= own.items()
    )
