"""Technologies at the edge: measurement files, configuration files, tables, run folders."""
