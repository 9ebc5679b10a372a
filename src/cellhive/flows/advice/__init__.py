"""From an analysis to what to change: measured values, present settings, recommendations, plan."""
