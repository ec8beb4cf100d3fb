"""Quotas of the compute API: limits, their administration, and how much of them is used."""
