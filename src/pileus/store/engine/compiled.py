"""How many compiled statements an engine remembers."""

COMPILED = 500
"""More than are sent often. Each takes some 30 KiB; SQLAlchemy forgets when there are half as many more."""
