"""What happens in which order: the decision loop, trials on the twin, analysis of files."""
