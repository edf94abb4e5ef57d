"""Search spaces: parameters, conditions, size."""
