"""What stands in for a user's password: application credentials, EC2 keys, and secrets kept for others."""
