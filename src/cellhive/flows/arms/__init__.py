"""The honest comparison: everything that can run a network, on cities nobody has learnt from."""
