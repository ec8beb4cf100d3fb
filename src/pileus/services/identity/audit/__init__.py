"""The audit log: changes and log-ins, kept to be read, and told to others as notifications."""
