"""The JSON form of a job's spec."""
