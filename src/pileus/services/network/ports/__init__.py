"""Ports: what a guest plugs into."""
