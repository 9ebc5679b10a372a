"""Readers of drive-test logs: what a phone measured on the way, and what it did."""
