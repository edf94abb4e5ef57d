"""The README.md of a version: how to run its files without Luthier."""
