"""Trusts: one user lets another act with some of his roles."""
