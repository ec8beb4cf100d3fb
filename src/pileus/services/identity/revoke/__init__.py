"""Revocation events, for services that check tokens by themselves."""
