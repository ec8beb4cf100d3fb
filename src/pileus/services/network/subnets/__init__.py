"""Subnets: the prefixes of a network and where its addresses come from."""
