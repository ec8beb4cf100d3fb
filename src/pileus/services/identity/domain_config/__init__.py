"""Domain-specific configuration: options that a domain has of its own."""
