"""What the report of an analysis draws: plots, a map, and every object with every KPI."""
