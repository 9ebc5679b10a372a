"""Large analyses: done piece by piece, and of tables that are larger than memory."""
