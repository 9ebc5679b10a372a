"""Replication between processes over QUIC, in which both ends show a certificate."""
