"""Data that a guest is given about itself: metadata, network data, user data."""
