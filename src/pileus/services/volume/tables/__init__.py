"""Tables of the volume service."""
