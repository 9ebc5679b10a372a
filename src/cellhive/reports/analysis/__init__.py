"""How an analysis of measurements is shown."""
