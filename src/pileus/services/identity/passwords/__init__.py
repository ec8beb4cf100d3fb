"""Passwords: hashing them, and checking them in turn."""
