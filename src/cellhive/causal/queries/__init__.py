"""What is asked of a posterior: what would have been, what came from where, and how sure it is."""
