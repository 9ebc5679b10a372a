"""Measurement files: 3GPP XML, Nokia OMeS, VES JSON."""
