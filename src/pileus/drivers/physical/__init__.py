"""Physical switches: networks are bound to their ports from afar."""
