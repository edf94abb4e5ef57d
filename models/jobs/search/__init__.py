"""The search of one job: which trial is next, and what its result means for the rest."""
