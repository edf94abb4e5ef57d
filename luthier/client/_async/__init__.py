"""The source of both clients; `client/unasync.py` makes `_sync` of it."""
