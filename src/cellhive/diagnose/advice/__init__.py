"""What to change in a measured network: forecasts, sleep, balance, mobility, coverage, settings."""
