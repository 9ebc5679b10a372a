"""What a record must be like before it is stored: one by one, and many at once."""
