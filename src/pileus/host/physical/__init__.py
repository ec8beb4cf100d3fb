"""The agent of physical switches: networks reach machines that are plugged into them."""
