"""Decisions of the volume service: pure functions."""
