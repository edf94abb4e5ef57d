"""Delimited text read into a table: encoding, dialect, layout, and the cells of every row."""
