"""Configuration as files hold it: cells, identities and neighbour relations."""
