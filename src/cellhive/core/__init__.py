"""Values, units, the schema, ports and errors that everything else is written in."""
