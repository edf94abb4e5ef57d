"""What is kept, what goes, and the removal of files that no row needs.

`units` says which files a dataset, a job or a version needs. `remover` removes the others of a
folder that was listed. `deletion` is what callers of the API delete, `rules` what the settings let
go, and `sweep` applies both in a worker from time to time. `collection` (`luthier gc`) finds files
that no row names, `integrity` (`luthier fsck`) rows whose files are missing, `usage` adds up bytes.
"""
