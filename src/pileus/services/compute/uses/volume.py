"""Volumes as the compute service needs them: to be attached to servers."""

from __future__ import annotations

from pileus.services.volume.service import volume_scopes_served

__all__ = ["volume_scopes_served"]
