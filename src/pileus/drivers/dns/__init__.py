"""Servers of the domain name system that take records: by dynamic updates, and their simulated twin."""
