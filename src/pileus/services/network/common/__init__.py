"""Ground of the network service: what all nouns share, and what knows none of them."""
