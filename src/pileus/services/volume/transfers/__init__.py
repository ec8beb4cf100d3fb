"""Transfers of volumes from project to project."""
