"""Unified limits: registered limits, the limits of projects and domains, and the model that they follow."""
