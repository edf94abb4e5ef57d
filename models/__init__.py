"""Everything about models: no Flask, no status codes."""
