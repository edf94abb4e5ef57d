"""Random faults against a real service; `docs/reliability.md` describes the promises they test."""
