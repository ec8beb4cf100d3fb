"""The tables of identity: the ground that all its nouns stand on."""
