"""Application credentials: a secret with which a program acts for its user."""
