"""Pools, and the services that answer for them."""
