"""Plans as files: 3GPP bulk configuration XML and CSV."""
