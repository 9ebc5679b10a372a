"""CellHive observes, explains and safely changes a mobile radio network."""

__version__ = "0.1.0"
