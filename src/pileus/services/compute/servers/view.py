"""Servers as clients see them, by microversion and by what the caller may see.

Source: Compute API reference, "Servers", and the microversion history. Pure: rows and facts in, JSON out.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pileus.services.compute.api import bookmark, links, since
from pileus.services.compute.rules import states
from pileus.services.compute.rules.devices import PREFIXES
from pileus.services.compute.servers.attached import AttachedPort
from pileus.services.compute.servers.attached_volumes import root_volume
from pileus.services.compute.servers.view_facts import ViewFacts

if TYPE_CHECKING:
    from pileus.web.request import Request


def host_id(project_id: str, host: str | None) -> str:
    """A name for the host that tells a project which of its servers share one, and nothing else."""
    return hashlib.sha224((project_id + host).encode()).hexdigest() if host else ""


def instance_name(server_id: str) -> str:
    """The name that the hypervisor knows it by."""
    return f"instance-{server_id.replace('-', '')[:8]}"


def seconds(moment: dt.datetime) -> str:
    """A time as servers show it."""
    return moment.isoformat(timespec="seconds") + "Z"


def micro(moment: dt.datetime | None) -> str | None:
    """A time of OS-SRV-USG: microseconds, no zone."""
    return None if moment is None else moment.isoformat(timespec="microseconds")


def brief(request: Request, server: Mapping[str, Any]) -> dict[str, Any]:
    """Id and name."""
    key = server["id"]
    return {"id": key, "name": server["name"], "links": links(request, "servers", key)}


def addresses(several: list[AttachedPort]) -> dict[str, list[dict[str, Any]]]:
    """Addresses by the name of their network: fixed ones, and the floating ones that lead to them."""
    found: dict[str, list[dict[str, Any]]] = {}
    for one in several:
        mac = one.port["mac_address"]
        entries = found.setdefault(one.network_name, [])
        for fixed in one.port["fixed_ips"] or []:
            address = fixed["ip_address"]
            entries.append(_address(address, "fixed", mac))
            entries += [_address(floating, "floating", mac) for floating in one.floating_ips.get(address, ())]
    return found


def plain(found: dict[str, list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
    """The same without kinds and hardware addresses."""
    return {
        name: [{"addr": one["addr"], "version": one["version"]} for one in several]
        for name, several in found.items()
    }


def _address(address: str, kind: str, mac: str) -> dict[str, Any]:
    return {
        "addr": address,
        "version": 6 if ":" in address else 4,
        "OS-EXT-IPS:type": kind,
        "OS-EXT-IPS-MAC:mac_addr": mac,
    }


def flavor_view(request: Request, server: Mapping[str, Any], *, extra_specs: bool = True) -> dict[str, Any]:
    """The flavor's values since 2.47, its id before."""
    flavor = server["flavor"]
    if not since(request, "2.47"):
        key = server["flavor_id"]
        return {"id": key, "links": [bookmark(request, "flavors", key)]}
    view = {
        "original_name": flavor["name"],
        "vcpus": flavor["vcpus"],
        "ram": flavor["ram"],
        "disk": flavor["disk"],
        "ephemeral": flavor["ephemeral"],
        "swap": flavor["swap"],
    }
    if extra_specs:
        view["extra_specs"] = flavor["extra_specs"]
    return view


def _fault(server: Mapping[str, Any], admin: bool) -> dict[str, Any]:
    fault = server["fault"]
    view = {"code": fault["code"], "message": fault["message"], "created": fault["created"]}
    if fault.get("details") and (admin or fault["code"] != 500):
        view["details"] = fault["details"]
    return view


class Viewer:
    """Makes the views of one request; what the caller may see is asked once."""

    def __init__(self, request: Request, facts: ViewFacts) -> None:
        self._request = request
        self._facts = facts
        access = request.access
        self._attributes = access.allows("os_compute_api:os-extended-server-attributes")
        self._host_status = since(request, "2.16") and access.allows(
            "os_compute_api:servers:show:host_status"
        )
        self._admin = self._attributes

    def _volumes(self, key: str) -> list[dict[str, Any]]:
        rows = self._facts.volumes.get(key, ())
        if since(self._request, "2.3"):
            return [{"id": row.volume_id, "delete_on_termination": row.delete_on_termination} for row in rows]
        return [{"id": row.volume_id} for row in rows]

    def _root_device(self, server: Mapping[str, Any]) -> str:
        volume = root_volume(self._facts.volumes.get(server["id"], ()))
        bus = (server["hardware"] or {}).get("disk_bus", "virtio")
        return f"/dev/{PREFIXES[bus] + 'a' if volume is None else volume.target}"

    def basic(self, server: Mapping[str, Any]) -> dict[str, Any]:
        """The view that updates and rebuilds answered with before 2.75."""
        request = self._request
        key = server["id"]
        status = states.status_of(server["vm_state"], server["task_state"])
        image_id = server["image_id"]
        view: dict[str, Any] = {
            "id": key,
            "name": server["name"],
            "status": status,
            "tenant_id": server["project_id"],
            "user_id": server["user_id"],
            "metadata": server["properties"],
            "hostId": host_id(server["project_id"], server["host"]),
            "image": {"id": image_id, "links": [bookmark(request, "images", image_id)]} if image_id else "",
            "flavor": flavor_view(request, server),
            "created": seconds(server["created_at"]),
            "updated": seconds(server["updated_at"]),
            "addresses": plain(addresses(self._facts.ports.get(key, []))),
            "accessIPv4": server["access_ip_v4"] or "",
            "accessIPv6": server["access_ip_v6"] or "",
            "links": links(request, "servers", key),
            "OS-DCF:diskConfig": server["disk_config"],
        }
        if status in states.PROGRESS:
            view["progress"] = 100 if status == "ACTIVE" else 0
        if status in states.FAULTY and server["fault"]:
            view["fault"] = _fault(server, self._admin)
        if since(request, "2.9"):
            view["locked"] = server["locked_by"] is not None
        if since(request, "2.19"):
            view["description"] = server["description"]
        if since(request, "2.26"):
            view["tags"] = self._facts.tags.get(key, [])
        if since(request, "2.63"):
            view["trusted_image_certificates"] = None
        if since(request, "2.73"):
            view["locked_reason"] = server["locked_reason"]
        if since(request, "2.90"):
            view["OS-EXT-SRV-ATTR:hostname"] = server["hostname"]
        if since(request, "2.96"):
            view["pinned_availability_zone"] = server["pinned_availability_zone"]
        return view

    def groups(self, server: Mapping[str, Any]) -> list[str]:
        """A server's group, as a list of one or none (2.71; not in lists)."""
        return [server["group_id"]] if server["group_id"] else []

    def detail(self, server: Mapping[str, Any], *, one: bool = False) -> dict[str, Any]:
        """All that there is; ``one``: not in a list, so its server group too."""
        request = self._request
        key = server["id"]
        view = self.basic(server)
        view |= {
            "addresses": addresses(self._facts.ports.get(key, [])),
            "key_name": server["key_name"],
            "config_drive": "True" if server["config_drive"] else "",
            "OS-EXT-AZ:availability_zone": server["availability_zone"] or "",
            "OS-EXT-STS:task_state": server["task_state"],
            "OS-EXT-STS:vm_state": server["vm_state"],
            "OS-EXT-STS:power_state": server["power_state"],
            "OS-SRV-USG:launched_at": micro(server["launched_at"]),
            "OS-SRV-USG:terminated_at": micro(server["terminated_at"]),
            "os-extended-volumes:volumes_attached": self._volumes(key),
        }
        groups = self._facts.groups.get(key)
        if groups:
            view["security_groups"] = [{"name": name} for name in groups]
        if self._attributes:
            view |= {
                "OS-EXT-SRV-ATTR:host": server["host"],
                "OS-EXT-SRV-ATTR:hypervisor_hostname": server["node"],
                "OS-EXT-SRV-ATTR:instance_name": instance_name(key),
            }
            if since(request, "2.3"):
                view |= {
                    "OS-EXT-SRV-ATTR:reservation_id": server["reservation_id"],
                    "OS-EXT-SRV-ATTR:launch_index": server["launch_index"],
                    "OS-EXT-SRV-ATTR:hostname": server["hostname"],
                    "OS-EXT-SRV-ATTR:kernel_id": (server["hardware"] or {}).get("kernel_id", ""),
                    "OS-EXT-SRV-ATTR:ramdisk_id": (server["hardware"] or {}).get("ramdisk_id", ""),
                    "OS-EXT-SRV-ATTR:root_device_name": self._root_device(server),
                    "OS-EXT-SRV-ATTR:user_data": server["user_data"],
                }
        if self._host_status:
            view["host_status"] = self._facts.host_status.get(server["host"] or "", "")
        if one and since(request, "2.71"):
            view["server_groups"] = self.groups(server)
        return view

    def changed(self, server: Mapping[str, Any], *, rebuilt: bool = False) -> dict[str, Any]:
        """The view that an update or a rebuild answers with: everything since 2.75, less before."""
        request = self._request
        if since(request, "2.75"):
            view = self.detail(server, one=True)
        else:
            view = self.basic(server)
            if since(request, "2.71"):
                view["server_groups"] = self.groups(server)
        if rebuilt:
            if since(request, "2.54"):
                view["key_name"] = server["key_name"]
            if since(request, "2.57"):
                view["user_data"] = server["user_data"]
                view.pop("OS-EXT-SRV-ATTR:user_data", None)
        return view
