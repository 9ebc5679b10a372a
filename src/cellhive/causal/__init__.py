"""Why it dropped, and what a change would do: a posterior over causal graphs and mechanisms."""
