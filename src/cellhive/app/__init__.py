"""Composition: the only place that picks adapters and clocks."""
