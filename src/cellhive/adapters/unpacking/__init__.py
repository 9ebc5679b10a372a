"""Content out of what it is wrapped in: encodings of text, archives."""
