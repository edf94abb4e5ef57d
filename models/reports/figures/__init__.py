"""The figures of reports, drawn by Matplotlib."""
