"""Compute: flavors, key pairs, servers, the scheduler and what hypervisors are told."""
