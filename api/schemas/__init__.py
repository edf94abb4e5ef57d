"""Marshmallow schemas, one file per resource."""
