"""What compute reads and does in other services, one file for each."""
