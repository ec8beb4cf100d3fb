"""Volumes: Cinder's API over pools of volumes on nodes."""
