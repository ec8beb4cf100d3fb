"""Floating IPs: addresses outside that lead to ports inside."""
