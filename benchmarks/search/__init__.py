"""Search strategies on recorded trials: regret after so many trials, ranks with intervals."""
