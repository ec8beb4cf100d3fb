"""Servers: requests, states, views and the work behind them."""
