"""Commands that analyse what people bring: measurements and configurations."""
