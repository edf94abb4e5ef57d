"""The values of a trial as a network reads them."""

from models.space.hyperparameters import HYPERPARAMETERS, TrialValues, Value


def value(values: TrialValues, name: str) -> Value:
    """What `name` is; the default of the table where the trial leaves it out."""
    found = values.get(name, HYPERPARAMETERS[name].default)
    if isinstance(found, list):
        raise TypeError(f"{name} has a value for each layer; one for all was expected.")
    return found


def layer_value(values: TrialValues, name: str, layer: int) -> Value:
    """What `name` is in a hidden layer, counted from 0: its own, or the one for all."""
    found = values.get(name, HYPERPARAMETERS[name].default)
    return found[layer] if isinstance(found, list) else found
