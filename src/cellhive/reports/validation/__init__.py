"""Pages that compare the twin with published results."""
