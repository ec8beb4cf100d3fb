"""The error of exports."""

from __future__ import annotations


class ExportFailed(Exception):
    """An export can't be opened; the text is the reason."""
