"""The calls of agents: servers to run, reports about them, metadata of guests."""
