"""What a plan will do, foretold before it is applied, and how that compares with what happened."""
