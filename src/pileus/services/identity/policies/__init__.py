"""Policies that other services may fetch, and the endpoints, services and regions that have one."""
