"""What a guest is told of itself: metadata, network data, user data."""
