"""``OS-EP-FILTER``: endpoint groups, and the endpoints that a project's catalog is narrowed to."""
