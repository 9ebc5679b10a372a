"""The report of a calibration: distributions beside the companies' range, and every check."""
