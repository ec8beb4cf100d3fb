"""Taps: copies of the packets of a project's ports, for another port of it or for a collector outside."""
