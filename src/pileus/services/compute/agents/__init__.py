"""What the agents of nodes ask and tell: servers to run, what became of them, metadata of guests."""
