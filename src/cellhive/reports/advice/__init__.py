"""What to change, as a section of the report of an analysis."""
