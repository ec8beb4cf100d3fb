"""Tables of the compute service: the ground that all its nouns stand on."""
