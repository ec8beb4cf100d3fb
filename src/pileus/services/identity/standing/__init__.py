"""The roles that users and groups have, and the check that nobody changes one who has more than himself."""
