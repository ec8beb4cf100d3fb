"""Attachments: who has a volume open, and how."""
