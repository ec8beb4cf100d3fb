"""Authentication: proving who one is, asking for a scope, and what a token means afterwards."""
