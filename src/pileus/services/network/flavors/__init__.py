"""Flavors of services, and profiles that say what provides them (``flavors``, ``l3-flavors``)."""
