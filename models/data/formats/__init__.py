"""Files, records and arrays read into datasets."""
