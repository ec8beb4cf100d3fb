"""Metadata definitions: which properties, with which values, images, flavors and volumes may be given."""
