"""Segments of networks as things of their own, and the hosts that they reach."""
