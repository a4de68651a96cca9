"""Other libraries that our stages are compared with."""
