"""Other services, as the volume service needs them."""
