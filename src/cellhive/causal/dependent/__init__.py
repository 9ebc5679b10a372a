"""Samples that depend on each other: the cells of one network, the days of one city."""
