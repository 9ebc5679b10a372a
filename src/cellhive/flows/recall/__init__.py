"""What earlier runs taught, in the loop: situations, experiences, recalled plans."""
