"""What repeats from day to day and week to week, and changes of it."""
