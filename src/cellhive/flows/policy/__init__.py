"""A learned policy as an optimiser of the loop: what it sees, what it may do, and why it acts."""
