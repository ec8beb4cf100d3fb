"""Ranges of VLAN tags and tunnel ids that are given to projects (extension ``network-segment-range``)."""
