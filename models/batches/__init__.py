"""Predictions of whole files and datasets, made by workers.

`submission` checks a request and queues it, `queue` is what workers claim batches from, `worker`
gives each claimed one to a process, whose work is `run`: piece by piece, each stored under its
number. `output` writes pieces and puts them together, `catalog` is what is shown of batches.
"""
