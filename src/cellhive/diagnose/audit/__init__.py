"""Configuration audit: identities, neighbour relations, positions and settings that look wrong."""
