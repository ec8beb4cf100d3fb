"""Sharing: which projects may see and use what belongs to another."""
