"""Gateway machines: routers that are virtual machines."""
