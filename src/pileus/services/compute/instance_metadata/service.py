"""The metadata service: a guest's GET or POST, found by the address that it came from."""

from __future__ import annotations

from http import HTTPStatus

from pileus.core.context import Context
from pileus.core.errors import Forbidden
from pileus.resource.declaration import Values
from pileus.resource.rows import fetch
from pileus.services.compute.instance_metadata import ec2, openstack
from pileus.services.compute.instance_metadata.facts import MetadataFacts, metadata_facts_read
from pileus.services.compute.servers.attached import holders_of
from pileus.services.compute.servers.password import password_read, password_set
from pileus.services.compute.servers.resource import SERVER
from pileus.services.compute.tables.servers import servers
from pileus.services.compute.uses.network import port_of_address, serves_guests_of
from pileus.store.tx import Tx
from pileus.wire.metadata import MetadataPost, MetadataReply, MetadataRequest

_TEXT = "text/plain; charset=UTF-8"
_JSON = "application/json"


class NotServed(Forbidden):
    message = "The metadata agent of {host} does not serve this network or router."


def metadata_answer(tx: Tx, request: MetadataRequest) -> MetadataReply:
    """Answer; 404 for an address that no server has, and for a path that is not there.

    Raises NotServed where guests of this network or router don't reach the metadata agent of the host.
    """
    server = _server_of_guest(tx, request)
    if server is None:
        return _not_found()
    if _names_password(request.path):
        return _text(password_read(tx, server["id"]))
    return answer(metadata_facts_read(tx, [server])[server["id"]], request.path)


def metadata_post(tx: Tx, context: Context, request: MetadataPost) -> MetadataReply:
    """Keep a guest's password: nothing else can be posted. Answers and raises as ``metadata_answer`` does."""
    named = _names_password(request.path)
    server = _server_of_guest(tx, request, lock=named)
    if server is None:
        return _not_found()
    if not named:
        return _refusal(HTTPStatus.METHOD_NOT_ALLOWED, "Nothing is posted there.")
    password = _text_of(request.body)
    if password is None:
        return _refusal(HTTPStatus.BAD_REQUEST, "The password is no text in UTF-8.")
    if not password_set(tx, context, server, password):
        return _refusal(HTTPStatus.CONFLICT, "There was a conflict when trying to complete your request.")
    return _text("")


def _text_of(body: bytes) -> str | None:
    """A body as text that every database keeps; None where it is none."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text


def _server_of_guest(tx: Tx, request: MetadataRequest | MetadataPost, *, lock: bool = False) -> Values | None:
    """The server whose guest asks."""
    if not serves_guests_of(tx, request.host, request.network_id, request.router_id):
        raise NotServed(host=request.host)
    port = port_of_address(tx, request.source_ip, request.network_id, request.router_id)
    return None if port is None else _server_of(tx, port, lock=lock)


def _server_of(tx: Tx, port: Values, *, lock: bool) -> Values | None:
    """The server that a port was attached to: of the port's project, on the host that the port is bound to.

    What the port says of itself (``device_id``) is its owner's to write, and so no proof.
    """
    server_id = holders_of(tx, [port["id"]]).get(port["id"])
    if server_id is None:
        return None
    found = fetch(tx, SERVER, [server_id], [servers.c.deleted_at.is_(None)], lock=lock)
    if not found or found[0]["project_id"] != port["project_id"]:
        return None
    return found[0] if found[0]["host"] and found[0]["host"] == port["binding:host_id"] else None


def answer(facts: MetadataFacts, path: str) -> MetadataReply:
    """Answer what is at a path of a guest's metadata."""
    parts = _parts(path)
    if not parts:
        return _text("\n".join((*ec2.VERSIONS[:-1], "latest", "openstack")))
    if parts[0] == "openstack":
        return _openstack(facts, parts[1:])
    if parts[0] in ec2.VERSIONS:
        return _ec2(facts, parts[1:])
    return _not_found()


def _parts(path: str) -> list[str]:
    return [part for part in path.split("?", 1)[0].split("/") if part]


def _names_password(path: str) -> bool:
    parts = _parts(path)
    return parts[:1] == ["openstack"] and parts[2:] == ["password"] and parts[1] in openstack.WITH_PASSWORD


def _openstack(facts: MetadataFacts, parts: list[str]) -> MetadataReply:
    if not parts:
        return _text("\n".join(openstack.VERSIONS))
    if parts[0] == "content" and len(parts) == 2 and parts[1].isdigit():
        contents = openstack.file_contents(facts, int(parts[1]))
        return _not_found() if contents is None else MetadataReply(200, "application/octet-stream", contents)
    if parts[0] not in openstack.VERSIONS:
        return _not_found()
    files = openstack.files_of(facts, parts[0])
    if len(parts) == 1:
        names = [*files, "password"] if parts[0] in openstack.WITH_PASSWORD else files
        return _text("\n".join(sorted(names)))
    if len(parts) > 2 or parts[1] not in files:
        return _not_found()
    kind = _JSON if parts[1].endswith(".json") else "application/octet-stream"
    return MetadataReply(200, kind, files[parts[1]])


def _ec2(facts: MetadataFacts, parts: list[str]) -> MetadataReply:
    own = openstack.user_data(facts)
    if not parts:
        return _text("\n".join(["meta-data/", *(["user-data"] if own is not None else [])]))
    if parts == ["user-data"]:
        return _not_found() if own is None else MetadataReply(200, "application/octet-stream", own)
    if parts[0] != "meta-data":
        return _not_found()
    text = ec2.look_up(facts, parts[1:])
    return _not_found() if text is None else _text(text)


def _text(text: str) -> MetadataReply:
    return MetadataReply(200, _TEXT, text.encode())


def _not_found() -> MetadataReply:
    return MetadataReply(404, _TEXT, b"404 Not Found\n")


def _refusal(status: HTTPStatus, text: str) -> MetadataReply:
    return MetadataReply(status, _TEXT, f"{status.value} {status.phrase}\n\n{text}\n".encode())
