"""Agents: what has reported, and whether it still does (seed 003)."""
