"""What broke: mechanisms that changed, the patterns they make, and causes with probability."""
