"""Authentication: log-ins by one method or several together, and the tokens that they give."""
