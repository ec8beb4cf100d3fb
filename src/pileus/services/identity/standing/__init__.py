"""Who has which role where, and so who stands above whom."""
