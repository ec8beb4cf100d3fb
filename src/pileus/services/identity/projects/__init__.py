"""Projects and domains, which are one table."""
