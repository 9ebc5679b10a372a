"""Why, what if, what to change: a causal model of measured panels, and questions to it."""
