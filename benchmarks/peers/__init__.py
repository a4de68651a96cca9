"""The peers that our stages are compared with."""
