"""Subnet pools: prefixes from which subnets are cut, and the scopes in which addresses are unique."""
