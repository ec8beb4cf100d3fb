"""The parts of the Compute API by which clients of old reached other services: networks, floating IPs,
security groups, images. Each asks the service that has them, in the caller's name and by its rules."""
