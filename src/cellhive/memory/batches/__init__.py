"""Many records at once: their faults, columns, rows and stamps."""
