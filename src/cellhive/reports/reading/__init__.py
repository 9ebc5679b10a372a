"""What was read of which file, as a section of a report."""
