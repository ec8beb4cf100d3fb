"""The image service: Glance's API v2 over a store of files."""
