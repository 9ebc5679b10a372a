"""How a run is shown: while it lasts, on one screen, and as a report."""
