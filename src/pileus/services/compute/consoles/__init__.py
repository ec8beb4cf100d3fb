"""Consoles of servers in a browser: tokens, pages, and the way from there to the host."""
