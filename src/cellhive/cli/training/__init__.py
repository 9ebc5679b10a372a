"""Commands of ``cellhive train``."""
