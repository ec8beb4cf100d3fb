"""Names of ports and floating IPs in a server of names outside."""
