"""Tokens: what they carry, the keys that seal them, and those that were taken back."""
