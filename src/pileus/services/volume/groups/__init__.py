"""Groups of volumes, their types and their snapshots."""
