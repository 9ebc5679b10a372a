"""Vectors by number: how they are stored, coded, divided into cells, and searched."""
