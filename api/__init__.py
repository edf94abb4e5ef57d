"""HTTP: load the request, call models once, dump the answer."""
