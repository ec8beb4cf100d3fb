"""Tasks: what an import is doing, or how it ended."""
