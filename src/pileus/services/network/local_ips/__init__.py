"""Local IPs."""
