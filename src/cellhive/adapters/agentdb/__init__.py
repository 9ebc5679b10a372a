"""Reads the files of the npm package agentdb, whichever of its formats they are in."""
