"""What people look at: HTML reports, charts, maps and the terminal view."""
