"""Conntrack helpers of routers: protocols whose further connections are followed through translation."""
