"""Placement's API: the providers of resources as operators see and change them."""
