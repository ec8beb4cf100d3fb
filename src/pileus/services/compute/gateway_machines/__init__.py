"""Gateway machines: the servers of routers that are virtual machines, made and kept for them."""
