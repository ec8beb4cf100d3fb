"""RBAC policies: whom an owner lets see and use what is his."""
