"""Imports: an image's data is fetched, or taken from where it was staged."""
