"""Routers: gateways, interfaces, routes, and the agents that host them."""
