"""Tables that are larger than memory: read in blocks of objects, kept in a file that is no more."""
