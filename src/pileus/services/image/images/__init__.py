"""Images: what is known of them. Their bytes are in ``data``."""
