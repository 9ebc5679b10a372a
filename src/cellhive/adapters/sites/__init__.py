"""Site lists: from rows with positions to a network."""
