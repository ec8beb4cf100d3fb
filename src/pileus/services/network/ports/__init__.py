"""Ports: where guests and a network's own services are attached to networks."""
