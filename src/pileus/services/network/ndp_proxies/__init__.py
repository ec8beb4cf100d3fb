"""NDP proxies: IPv6 addresses behind a router for which it answers outside."""
