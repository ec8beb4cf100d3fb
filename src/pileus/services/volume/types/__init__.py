"""Volume types: which pools a volume may be put into, and how."""
