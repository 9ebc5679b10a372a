"""Incidents with known causes on the twin, and the causes of incidents from what they show."""
