"""Logs: which packets that security groups let through or drop are written down on the nodes."""
