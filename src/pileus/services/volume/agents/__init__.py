"""The calls of storage agents."""
