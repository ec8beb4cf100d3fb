"""Flavors: sizes of servers, who may use them, and what they say to the scheduler."""
