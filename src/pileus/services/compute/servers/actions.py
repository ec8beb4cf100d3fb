"""``POST /servers/{id}/action``: one path, many verbs; the table says which, since when, under which rule.

Source: Compute API reference, "Servers - run an action". A verb that changes what is wanted of
a server writes that down and tells the host; the host's report ends the task.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from pileus.core.errors import Conflict
from pileus.resource import types
from pileus.resource.declaration import Values
from pileus.resource.types import BadValue, Type
from pileus.resource.versions import Version
from pileus.resource.versions import parse as parse_version
from pileus.services.compute.declared import NOTHING, at_least, parsed, root_url, since
from pileus.services.compute.errors import BadRequest, FlavorNotFound, InvalidState, NotHereYet
from pileus.services.compute.events import event
from pileus.services.compute.flavors.work import flavor_find
from pileus.services.compute.keypairs import KeypairNotFound, keypair_find
from pileus.services.compute.neighbours import image_usable
from pileus.services.compute.quotas import limits_of, spend
from pileus.services.compute.rules import states
from pileus.services.compute.servers.absent import ABSENT, refuse
from pileus.services.compute.servers.chains.common import Parts
from pileus.services.compute.servers.chains.reboot import begin_reboot
from pileus.services.compute.servers.chains.rebuild import begin_rebuild
from pileus.services.compute.servers.finding import (
    change,
    find_server,
    must_be_free,
    must_be_unlocked,
    must_permit,
)
from pileus.services.compute.servers.handlers import ServerHandlers, new_password, renamed
from pileus.services.compute.servers.history import action_begin
from pileus.services.compute.servers.ordering import (
    check_files,
    check_metadata,
    hardware_of,
    image_boots,
    image_fits,
)
from pileus.services.compute.servers.requests import FLAVOR_REF, rebuild_fields
from pileus.services.compute.servers.view import Viewer
from pileus.store.tx import Tx
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import Route
from pileus.wire import scopes

Act = Callable[[Request, Any], Awaitable[Reply]]


@dataclass(frozen=True, slots=True)
class Verb:
    """One action: its argument by microversion, what does it, and the window of versions that have it."""

    argument: Callable[[Version], Type]
    act: Act
    first: str = ""
    last: str = ""


def _takes(kind: Type) -> Callable[[Version], Type]:
    return lambda version: kind


_ANYTHING = _takes(types.anything)


def wake(tx: Tx, request: Request, server: Values, **changed: Any) -> None:
    """Have a server's host look again."""
    told = [scopes.hypervisor(server["host"]), scopes.server(server["id"])] if server["host"] else []
    tx.emit(
        event(
            request.context,
            "server.update",
            server["id"],
            server["project_id"],
            told,
            host=server["host"],
            **changed,
        )
    )


def permitted(tx: Tx, request: Request, rule: str, permit: str, said: str | None = None) -> Values:
    """The server, held, if the rule, its lock and its state allow what is asked."""
    server = find_server(tx, request, rule=rule, lock=True)
    must_be_unlocked(request, server)
    must_permit(permit, server, said)
    if server["host"] is None:
        raise InvalidState(
            action=said or permit, id=server["id"], attribute="vm_state", state=server["vm_state"]
        )
    return server


# -- verbs that change what is wanted


def _want(tx: Tx, request: Request, *, rule: str, verb: str, wanted: str, task: str) -> None:
    server = permitted(tx, request, f"os_compute_api:{rule}", verb)
    action_begin(tx, request.context, [server["id"]], verb)
    change(tx, request.context, server, wanted=wanted, task_state=task, task_since=request.context.now)
    wake(tx, request, server, task_state=task)


def _wanting(rule: str, verb: str, wanted: str, task: str) -> Act:
    unit = partial(_want, rule=rule, verb=verb, wanted=wanted, task=task)

    async def act(request: Request, argument: Any) -> Reply:
        await request.write(unit, request)
        return Reply.empty(202)

    return act


def _reboot(tx: Tx, request: Request, kind: str, parts: Parts) -> None:
    hard = kind == "HARD"
    server = permitted(
        tx, request, "os_compute_api:servers:reboot", "reboot_hard" if hard else "reboot_soft", "reboot"
    )
    action_begin(tx, request.context, [server["id"]], "reboot")
    begin_reboot(tx, request.context, server, kind, parts)
    change(
        tx,
        request.context,
        server,
        wanted=states.WANT_RUNNING,
        task_state=states.REBOOTING_HARD if hard else states.REBOOTING,
        task_since=request.context.now,
    )
    wake(tx, request, server, task_state="reboot")


def _rebooter(handlers: ServerHandlers) -> Act:
    async def reboot(request: Request, argument: Any) -> Reply:
        """SOFT asks the guest, HARD does not."""
        await request.write(_reboot, request, argument["type"], handlers.parts)
        return Reply.empty(202)

    return reboot


def _parse_reboot(value: Any) -> str:
    text = value.upper() if isinstance(value, str) else value
    return str(types.enum("SOFT", "HARD").parse(text))


_REBOOT = types.dict_of(
    {"type": Type("reboot", _parse_reboot, {"enum": ["SOFT", "HARD"]})}, required=("type",)
)


def _rebuild(
    tx: Tx, request: Request, asked: dict[str, Any], password: str, handlers: ServerHandlers
) -> dict[str, Any]:
    server = permitted(tx, request, "os_compute_api:servers:rebuild", "rebuild")
    must_be_free(request, server)
    image = image_usable(tx, request.context, asked["imageRef"])
    if image is None:
        raise BadRequest(f"Image {asked['imageRef']} could not be found.")
    image_fits(image, server["flavor"])
    image_boots(image, request.context, server["flavor"], asked.get("OS-DCF:diskConfig") or "MANUAL")
    hardware = hardware_of(image, server["flavor"]["extra_specs"], server["vcpus"])
    if hardware.pop("config_drive", None) and not server["config_drive"]:
        raise BadRequest(f"Image {image['id']} needs a config drive, and the server has none.")
    limits = limits_of(tx, server["project_id"])
    check_metadata(limits, asked.get("metadata") or {})
    check_files(limits, asked.get("personality") or [])
    changes = renamed(asked)
    if "metadata" in asked:
        changes["properties"] = asked["metadata"]
    if "personality" in asked:
        changes["files"] = asked["personality"]
    if "user_data" in asked:
        changes["user_data"] = asked["user_data"]
    if "key_name" in asked:
        changes |= _key(tx, request, asked["key_name"])
    if server["config_drive"]:
        changes["password"] = password
    action_begin(tx, request.context, [server["id"]], "rebuild")
    server = change(
        tx,
        request.context,
        server,
        **changes,
        image_id=image["id"],
        hardware=hardware or None,
        generation=server["generation"] + 1,
        in_place=False,
        wanted=states.WANT_STOPPED if server["vm_state"] == states.STOPPED else states.WANT_RUNNING,
        task_state=states.REBUILDING,
        task_since=request.context.now,
        fault=None,
    )
    begin_rebuild(tx, request.context, server, handlers.parts)
    wake(tx, request, server, task_state=states.REBUILDING)
    view = Viewer(request, handlers._extras(tx, request, [server])).changed(server, rebuilt=True)
    return {**view, "adminPass": password}


def _key(tx: Tx, request: Request, name: str | None) -> dict[str, Any]:
    if name is None:
        return {"key_name": None, "key_type": None, "key_data": None}
    try:
        row = keypair_find(tx, request.context.user_id or "", name)
    except KeypairNotFound:
        raise BadRequest("Invalid key_name provided.") from None
    return {"key_name": row["name"], "key_type": row["type"], "key_data": row["public_key"]}


def _rebuilder(handlers: ServerHandlers) -> Act:
    async def rebuild(request: Request, argument: Any) -> Reply:
        password = argument.get("adminPass") or new_password()
        view = await request.write(_rebuild, request, argument, password, handlers)
        reply = Reply.json({"server": view}, 202)
        return reply.header("location", f"{root_url(request)}/servers/{request.path['id']}")

    return rebuild


# -- verbs of the server's row alone


def _lock(tx: Tx, request: Request, reason: str | None) -> None:
    server = find_server(tx, request, rule="os_compute_api:os-lock-server:lock", lock=True)
    context = request.context
    owner = server["project_id"] == context.project_id
    if server["locked_by"] and owner:
        return  # or he would make an administrator's lock his own, which he may undo
    change(tx, context, server, locked_by="owner" if owner else "admin", locked_reason=reason)
    action_begin(tx, context, [server["id"]], "lock", done=True)
    wake(tx, request, {**server, "host": None}, locked=True)  # type: ignore[arg-type]


async def lock(request: Request, argument: Any) -> Reply:
    """Nobody but administrators changes it until it is unlocked."""
    await request.write(_lock, request, (argument or {}).get("locked_reason"))
    return Reply.empty(202)


def _lock_argument(version: Version) -> Type:
    if not at_least(version, "2.73"):
        return types.anything
    return types.nullable(types.dict_of({"locked_reason": types.string(255, minimum=1)}))


def _unlock(tx: Tx, request: Request) -> None:
    server = find_server(tx, request, rule="os_compute_api:os-lock-server:unlock", lock=True)
    if server["locked_by"] == "admin":
        request.authorise(
            "os_compute_api:os-lock-server:unlock:unlock_override", {"project_id": server["project_id"]}
        )
    change(tx, request.context, server, locked_by=None, locked_reason=None)
    action_begin(tx, request.context, [server["id"]], "unlock", done=True)


async def unlock(request: Request, argument: Any) -> Reply:
    """The end of that; what an administrator locked only he unlocks."""
    await request.write(_unlock, request)
    return Reply.empty(202)


class PasswordSetFailed(Conflict):
    message = "Failed to set admin password on {id}: nothing in the guest takes passwords from outside."


def _password(tx: Tx, request: Request) -> None:
    server = permitted(tx, request, "os_compute_api:os-admin-password", "changePassword")
    raise PasswordSetFailed(id=server["id"])


async def change_password(request: Request, argument: Any) -> Reply:
    """Refused, and honestly so: there is no agent in guests that would set it."""
    await request.write(_password, request)
    return Reply.empty(202)


def _reset_state(tx: Tx, request: Request, state: str) -> None:
    server = find_server(tx, request, rule="os_compute_api:os-admin-actions:reset_state", lock=True)
    change(tx, request.context, server, vm_state=state, task_state=None, task_since=None)
    wake(tx, request, server, vm_state=state)


async def reset_state(request: Request, argument: Any) -> Reply:
    """An administrator says what state a server is in."""
    await request.write(_reset_state, request, argument["state"])
    return Reply.empty(202)


_RESET = types.dict_of({"state": types.enum("active", "error")}, required=("state",))


def _wake(tx: Tx, request: Request) -> None:
    server = find_server(tx, request, rule="os_compute_api:os-admin-actions:inject_network_info")
    wake(tx, request, server)


async def inject_network_info(request: Request, argument: Any) -> Reply:
    """An administrator has the host look at the server's network again."""
    await request.write(_wake, request)
    return Reply.empty(202)


def _resize(tx: Tx, request: Request, flavor_id: str) -> None:
    server = permitted(tx, request, "os_compute_api:servers:resize", "resize")
    try:
        flavor = flavor_find(tx, request.context, flavor_id)
    except FlavorNotFound as missing:
        raise BadRequest(missing.text) from None
    if flavor["id"] == server["flavor_id"]:
        raise BadRequest("When resizing, instances must change flavor!")
    more_cores = max(0, flavor["vcpus"] - server["vcpus"])
    more_memory = max(0, flavor["ram"] - server["memory_mib"])
    spend(tx, server["project_id"], server["user_id"], 0, more_cores, more_memory)
    raise NotHereYet(what="Resizing")


async def resize(request: Request, argument: Any) -> Reply:
    """Another flavor: what Nova would refuse is refused in its words, the rest as not being here yet."""
    await request.write(_resize, request, argument["flavorRef"])
    return Reply.empty(202)


_RESIZE = types.dict_of(
    {"flavorRef": FLAVOR_REF, "OS-DCF:diskConfig": types.enum("AUTO", "MANUAL")}, required=("flavorRef",)
)


def verbs(handlers: ServerHandlers, more: dict[str, Verb]) -> dict[str, Verb]:
    """The table. ``more`` are the verbs of other files."""

    async def force_delete(request: Request, argument: Any) -> Reply:
        return await handlers.force_delete(request)

    return {
        "os-start": Verb(
            _ANYTHING, _wanting("servers:start", "start", states.WANT_RUNNING, states.POWERING_ON)
        ),
        "os-stop": Verb(
            _ANYTHING, _wanting("servers:stop", "stop", states.WANT_STOPPED, states.POWERING_OFF)
        ),
        "pause": Verb(
            _takes(NOTHING),
            _wanting("os-pause-server:pause", "pause", states.WANT_PAUSED, states.PAUSING),
        ),
        "unpause": Verb(
            _takes(NOTHING),
            _wanting("os-pause-server:unpause", "unpause", states.WANT_RUNNING, states.UNPAUSING),
        ),
        "suspend": Verb(
            _takes(NOTHING),
            _wanting("os-suspend-server:suspend", "suspend", states.WANT_SUSPENDED, states.SUSPENDING),
        ),
        "resume": Verb(
            _takes(NOTHING),
            _wanting("os-suspend-server:resume", "resume", states.WANT_RUNNING, states.RESUMING),
        ),
        "reboot": Verb(_takes(_REBOOT), _rebooter(handlers)),
        "rebuild": Verb(rebuild_fields, _rebuilder(handlers)),
        "lock": Verb(_lock_argument, lock),
        "unlock": Verb(_ANYTHING, unlock),
        "changePassword": Verb(
            _takes(types.dict_of({"adminPass": types.string(255)}, required=("adminPass",))), change_password
        ),
        "os-resetState": Verb(_takes(_RESET), reset_state),
        "forceDelete": Verb(_ANYTHING, force_delete),
        "resize": Verb(_takes(_RESIZE), resize),
        "injectNetworkInfo": Verb(_ANYTHING, inject_network_info),
        **{name: Verb(absent.argument, refuse(name)) for name, absent in ABSENT.items()},
        **more,
    }


def action_route(table: dict[str, Verb]) -> Route:
    """The one route of all verbs."""

    async def act(request: Request) -> Reply:
        body = request.json()
        if not isinstance(body, dict) or not body:
            raise BadRequest("Malformed request body")
        if len(body) > 1:
            raise BadRequest("Multiple actions in the body")
        ((name, argument),) = body.items()
        verb = table.get(name)
        assert request.version is not None
        if verb is None or not _served(verb, request):
            raise BadRequest(f"There is no such action: {name}")
        try:
            asked = parsed(request, verb.argument(request.version), argument)
        except BadValue as bad:
            raise request.dialect.bad_value(name, argument, bad) from None
        return await verb.act(request, asked)

    return Route("POST", "/v2.1/servers/{id}/action", act, status=202, summary="Do something with a server")


def _served(verb: Verb, request: Request) -> bool:
    assert request.version is not None
    if verb.first and not since(request, verb.first):
        return False
    return not verb.last or request.version <= parse_version(verb.last)
