"""Metering labels: what of the traffic through routers is counted, and the counts."""
