"""Refusals that several nouns of the compute service share; the messages are Nova's."""

from __future__ import annotations

from pileus.core.errors import Conflict, Fault, Forbidden, Invalid, Kind, NotFound


class BadRequest(Invalid):
    """A request that can't be (400), in a sentence of its own."""


class QuotaError(Fault):
    """A quota would be exceeded (403)."""

    kind = Kind.OVER_QUOTA


class FlavorNotFound(NotFound):
    message = "Flavor {id} could not be found."


class ServerNotFound(NotFound):
    message = "Instance {id} could not be found."


class ComputeHostNotFound(NotFound):
    message = "Compute host {host} could not be found."


class NotHereYet(BadRequest):
    """The Compute API has this, and this cloud does not yet (400)."""

    message = "{what} is not available in this cloud."


class Gone(Fault):
    """The call was taken out of the API (410)."""

    kind = Kind.NOT_FOUND
    message = "This API is gone: it worked with a part of Nova that was removed."


class InvalidState(Conflict):
    """The server is not in a state in which this can be done."""

    message = "Cannot '{action}' instance {id} while it is in {attribute} {state}"


class ServerIsLocked(Conflict):
    message = "Instance {id} is locked"


class InQuarantine(Conflict):
    message = "Instance {id} is in quarantine"


class PortBindingFailed(Conflict):
    """The host of a server can't carry the network of its port, now or later."""

    message = "Binding failed for port {port_id}: {reason}."


class NotYours(Forbidden):
    """Refused by policy, in Nova's words."""

    message = "Policy doesn't allow {rule} to be performed."
