"""Sessions: the meaning of a token at this moment, and of the application credential that it came from."""
