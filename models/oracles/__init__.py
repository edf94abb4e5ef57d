"""Which values to try next: ask and tell."""
