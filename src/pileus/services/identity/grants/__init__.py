"""Grants: a user or a group has a role somewhere."""
