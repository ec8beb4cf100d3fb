"""Floating IPs that the host of their port translates (docs/network-routers.md, "Distributed")."""
