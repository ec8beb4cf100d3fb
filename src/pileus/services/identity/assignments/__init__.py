"""Role assignments: the list of grants, or of their effects."""
