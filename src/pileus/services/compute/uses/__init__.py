"""Other services as compute uses them, one file for each."""
