"""Queues of network cards that give senders a least bandwidth."""
