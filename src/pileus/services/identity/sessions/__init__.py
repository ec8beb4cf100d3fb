"""Sessions: the user, scope and roles of a token at this moment, within its application credential."""
