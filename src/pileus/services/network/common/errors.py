"""Refusals that several nouns share; each noun keeps its own beside itself.

Names and messages are those of the Network API (neutron_lib.exceptions): clients match on them.
"""

from __future__ import annotations

from pileus.core.errors import Conflict, Invalid, NotFound


class InvalidInput(Invalid):
    message = "Invalid input for operation: {error_message}."

    def __init__(self, error_message: str) -> None:
        super().__init__(error_message=error_message)


class InUse(Conflict):
    message = "The resource is in use."


class NetworkNotFound(NotFound):
    message = "Network {network_id} could not be found."


class SubnetNotFound(NotFound):
    message = "Subnet {subnet_id} could not be found."


class PortNotFound(NotFound):
    message = "Port {port_id} could not be found."


class RouterNotFound(NotFound):
    message = "Router {router_id} could not be found"
