"""Credentials that users keep here: EC2 keys, and any other text."""
