"""Authentication: log-ins, and the tokens that they give."""
