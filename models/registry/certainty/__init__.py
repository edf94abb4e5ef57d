"""How far the answers of a version can be trusted: calibration and conformal intervals."""
