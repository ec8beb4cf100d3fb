"""Compute nodes: what they have, whether they live, and who may be sent there."""
