"""Images: their metadata. Their bytes are in ``data``."""
