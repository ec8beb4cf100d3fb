"""Port forwardings: ports of a floating IP that lead to ports inside."""
