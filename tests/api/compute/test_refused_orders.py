"""What Nova refuses in the answer to POST /servers is refused there, and nothing is made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import update
from tests.api.compute.cloud import IMAGE, OTHER_IMAGE, P1, Cloud, tell

from pileus.services.image.images.tables import images

NONE = "20000000-0000-4000-8000-000000000001"


async def _refused(api: Cloud, cases: list[tuple[dict[str, Any], int, str]]) -> None:
    ports = await api.count("ports")
    for values, status, part in cases:
        answer = await api.ask_for(**values)
        assert answer.status == status, (values, answer)
        assert part in answer.message, (values, answer.message)
    assert await api.count("servers") == await api.count("operations") == 0
    assert await api.count("ports") == ports


async def _make(api: Cloud, collection: str, **values: Any) -> dict[str, Any]:
    kind = collection.removesuffix("s").replace("-", "_")
    answer = await api("POST", f"/networking/v2.0/{collection}", {kind: values})
    assert answer.status == 201, answer
    found: dict[str, Any] = answer.json[kind]
    return found


def test_networks_addresses_and_ports(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        await api.host()
        admin, bob = api.as_("admin"), api.as_("bob")
        network_id = await api.a_network()
        other = await api.a_network("10.8.0.0/24", "other")
        empty = (await _make(api, "networks", name="empty"))["id"]
        foreign = await bob.a_network("10.9.0.0/24", "bobs")
        open_network = (await _make(api, "networks", name="open", port_security_enabled=False))["id"]
        await _make(api, "subnets", network_id=open_network, cidr="10.7.0.0/24", ip_version=4)
        slaac = (await _make(api, "networks", name="slaac"))["id"]
        modes = {"ipv6_address_mode": "slaac", "ipv6_ra_mode": "slaac"}
        await _make(api, "subnets", network_id=slaac, cidr="fd00::/64", ip_version=6, **modes)
        outside = (await _make(admin, "networks", name="outside", **{"router:external": True}))["id"]
        await _make(admin, "subnets", network_id=outside, cidr="203.0.113.0/24", ip_version=4)
        taken = await _make(api, "ports", network_id=network_id, fixed_ips=[{"ip_address": "10.0.0.9"}])
        no_address = await _make(api, "ports", network_id=network_id, fixed_ips=[])
        used = await _make(api, "ports", network_id=network_id, device_id="something")
        bobs = await _make(bob, "ports", network_id=foreign)
        await _make(api, "security-groups", name="twice")
        await _make(api, "security-groups", name="twice")

        def on(*several: dict[str, Any], **more: Any) -> dict[str, Any]:
            return {"networks": list(several), **more}

        await _refused(
            api,
            [
                (on({"uuid": NONE}), 400, f"Network {NONE} could not be found."),
                (on({"uuid": foreign}), 400, f"Network {foreign} could not be found."),
                (on({"uuid": empty}), 400, "requires a subnet in order to boot instances on"),
                (on({"uuid": outside}), 403, "not allowed to create an interface on external network"),
                (on({"fixed_ip": "10.0.0.5"}), 400, "Bad network format: missing 'uuid'"),
                (
                    on({"uuid": network_id, "fixed_ip": "10.8.0.5"}),
                    400,
                    "is not a valid ip address for network",
                ),
                (on({"uuid": network_id, "fixed_ip": "10.0.0.255"}), 400, "is not a valid ip address"),
                (on({"uuid": network_id, "fixed_ip": "fd00::5"}), 400, "is not a valid ip address"),
                (
                    on({"uuid": network_id, "fixed_ip": "10.0.0.9"}),
                    400,
                    "Fixed IP address 10.0.0.9 is already in use",
                ),
                (on({"uuid": network_id, "fixed_ip": "10.0.0"}), 400, "is not a 'ipv4' or 'ipv6'"),
                (on({"uuid": network_id, "fixed_ip": "fe80::1%x"}), 400, "is not a 'ipv4' or 'ipv6'"),
                (on({"uuid": slaac, "fixed_ip": "fd00::5"}), 400, "follow from the hardware address"),
                (
                    on(*[{"uuid": network_id, "fixed_ip": "10.0.0.5"}] * 2),
                    400,
                    "Fixed IP address 10.0.0.5 is already in use",
                ),
                (
                    on({"uuid": network_id, "fixed_ip": "10.0.0.5"}, min_count=2),
                    400,
                    "max_count cannot be greater than 1 if a fixed_ip is specified",
                ),
                (on({"port": NONE}), 400, f"Port id {NONE} could not be found."),
                (on({"port": bobs["id"]}), 400, "could not be found"),
                (on({"port": used["id"]}), 409, f"Port {used['id']} is still in use."),
                (on({"port": no_address["id"]}), 400, "requires a FixedIP in order to be used."),
                (on({"port": taken["id"], "fixed_ip": "10.0.0.9"}), 400, "cannot be specified together"),
                (on({"port": taken["id"]}, min_count=2), 400, "Unable to launch multiple instances"),
                (on({"port": taken["id"]}, max_count=2), 400, "Unable to launch multiple instances"),
                ({"networks": "auto"}, 409, "Multiple possible networks found"),
                ({"networks": "some"}, 400, "some"),
                (
                    on({"uuid": network_id}, security_groups=[{"name": "no"}]),
                    400,
                    "Unable to find security_group",
                ),
                (
                    on({"uuid": network_id}, security_groups=[{"name": "twice"}]),
                    409,
                    "Multiple security_group matches",
                ),
                (
                    on({"uuid": open_network}, security_groups=[{"name": "default"}]),
                    400,
                    "port_security_enabled",
                ),
                (on({"uuid": network_id}, interface_qos=NONE), 400, f"QoS policy {NONE} could not be found."),
            ],
        )
        have = await api.count("ports")
        limit = {"quota": {"port": 3 + 2, "check_limit": False}}
        assert (await admin("PUT", f"/networking/v2.0/quotas/{P1}", limit)).status == 200, have
        await _refused(
            api,
            [
                (on({"uuid": network_id}, min_count=3), 403, "Maximum number of ports exceeded"),
                (
                    on({"uuid": network_id}, {"uuid": other}, min_count=2),
                    403,
                    "Maximum number of ports exceeded",
                ),
            ],
        )
        # as many as the ports allow, of those that were asked for
        answer = await api.ask_for(**on({"uuid": network_id}, min_count=1, max_count=5))
        assert answer.status == 202
        assert await api.count("servers") == 2
        # a given port needs none
        assert (await api.ask_for(**on({"port": taken["id"]}))).status == 202

    tell(story, tmp_path)


def test_images_flavors_and_devices(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        await api.host()
        admin = api.as_("admin")

        async def image(**values: Any) -> None:
            await api.store.write(
                lambda tx: tx.execute(update(images).where(images.c.id == OTHER_IMAGE).values(**values))
            )

        usual = {"status": "active", "disk_format": "qcow2", "min_disk": 0, "min_ram": 0, "size": 1 << 20}
        of_other = {"imageRef": OTHER_IMAGE, "networks": "none"}
        for values, part in (
            ({"status": "queued"}, f"Image {OTHER_IMAGE} is not active."),
            ({"min_ram": 513}, "Flavor's memory is too small for requested image."),
            ({"min_disk": 2}, "Flavor's disk is smaller than the minimum size specified in image metadata."),
            ({"size": (1 << 30) + 1}, "Flavor's disk is too small for requested image."),
            ({"disk_format": "iso"}, "is unacceptable: its disk format is iso"),
            ({"disk_format": "aki"}, "is unacceptable"),
        ):
            await image(**{**usual, **values})
            await _refused(api, [(of_other, 400, part)])
        await image(**usual)
        zero = {"flavor": {"name": "zero", "id": "z", "ram": 64, "vcpus": 1, "disk": 0}}
        assert (await admin("POST", "/flavors", zero)).status == 200

        def devices(*several: dict[str, Any], **more: Any) -> dict[str, Any]:
            return {"networks": "none", "block_device_mapping_v2": list(several), **more}

        root = {"source_type": "image", "destination_type": "local", "boot_index": 0, "uuid": IMAGE}
        volume = {"source_type": "volume", "destination_type": "volume", "uuid": NONE}
        await _refused(
            api,
            [
                ({"flavorRef": "z", "networks": "none"}, 403, "Only volume-backed servers are allowed"),
                ({"flavorRef": "none", "networks": "none"}, 400, "Flavor none could not be found."),
                ({"imageRef": "", "networks": "none"}, 400, "Invalid imageRef provided"),
                ({"imageRef": NONE, "networks": "none"}, 400, f"Image {NONE} could not be found."),
                (devices({**root, "boot_index": 1}), 400, "Mapping image to local is not supported."),
                (devices({**root, "boot_index": None}), 400, "Mapping image to local is not supported."),
                (devices(root, imageRef=""), 400, "Mapping image to local is not supported."),
                (devices({**root, "uuid": NONE}), 400, "not the one to begin from"),
                (devices({"source_type": "volume"}), 400, "Missing device UUID."),
                (devices({"source_type": "blank", "uuid": NONE}), 400, "Invalid device UUID."),
                (devices({"source_type": "tape", "uuid": NONE}), 400, "is not one of"),
                (devices({"colour": "blue"}), 400, "Additional properties are not allowed"),
                (devices({**volume, "device_name": "a b"}), 400, "does not match"),
                (devices({**volume, "boot_index": "x"}), 400, "integer"),
                (devices(root, {**volume, "boot_index": 0}), 400, "Boot sequence"),
                (devices(root, {**volume, "boot_index": 2}), 400, "Boot sequence"),
                (
                    devices({"source_type": "blank", "destination_type": "volume"}),
                    400,
                    "need to have non-zero size",
                ),
                (
                    devices({**volume, "volume_type": "fast"}),
                    400,
                    "Specifying volume type to existing volume",
                ),
                (
                    devices(root, block_device_mapping=[{"volume_id": NONE}]),
                    400,
                    "different block_device_mapping syntaxes",
                ),
                (devices(root, volume), 400, f"failed to get volume {NONE}."),
                (
                    {"block_device_mapping": [{"volume_id": NONE}], "networks": "none"},
                    400,
                    f"failed to get volume {NONE}.",
                ),
                (
                    devices({**volume, "source_type": "snapshot", "boot_index": 0}, imageRef=""),
                    400,
                    f"failed to get snapshot {NONE}.",
                ),
                (
                    devices({**volume, "source_type": "image", "volume_size": 1, "boot_index": 0}),
                    400,
                    f"failed to get image {NONE}.",
                ),
                (devices(root, {**volume, "disk_bus": "x"}), 400, "disk bus x is not valid"),
                (devices(root, {**volume, "disk_bus": "usb"}), 400, "usb is not available"),
                (devices(root, {**volume, "device_type": "floppy"}), 400, "floppy is not available"),
                (devices(root, {**volume, "destination_type": "local"}), 400, "Mapping volume to local"),
                (
                    devices(root, {"source_type": "blank", "guest_format": "swap", "volume_size": 1}),
                    400,
                    "Swap drive requested is larger",
                ),
                (
                    devices(root, {"source_type": "blank", "volume_size": 1}),
                    400,
                    "Ephemeral disks requested are larger",
                ),
                (
                    devices(root, *[{"source_type": "blank", "guest_format": "swap"}] * 2),
                    400,
                    "More than one swap drive",
                ),
                (devices(root, *[{"source_type": "blank"}] * 4), 400, "more local devices than"),
                (devices(root, volume, min_count=2), 400, "to multiple instances"),
                (
                    devices(root, {"source_type": "blank", "destination_type": "local", "boot_index": 0}),
                    400,
                    "can't be booted from",
                ),
                ({"block_device_mapping": [{"volume_id": "x"}], "networks": "none"}, 400, "is not a 'uuid'"),
            ],
        )
        local = {"flavor": {"name": "local", "id": "l", "ram": 64, "vcpus": 1, "disk": 1, "swap": 64}}
        local["flavor"]["OS-FLV-EXT-DATA:ephemeral"] = 2
        assert (await admin("POST", "/flavors", local)).status == 200
        blank = {"source_type": "blank"}
        await _refused(
            api,
            [
                (devices(root, {**blank, "volume_size": 1}, flavorRef="l"), 400, "not the flavor's whole"),
                (
                    devices(root, {**blank, "guest_format": "swap", "volume_size": 64}, flavorRef="l"),
                    400,
                    "A disk for swap",
                ),
            ],
        )
        assert (await admin.ask_for(flavorRef="z", networks="none")).status == 202
        assert (await api.ask_for(**devices(root))).status == 202
        assert (await api.ask_for(**devices(root, {**blank, "volume_size": 2}, flavorRef="l"))).status == 202
        assert (
            await api.ask_for(**devices(root, {"no_device": True, "device_name": "/dev/vdc"}))
        ).status == 202

    tell(story, tmp_path)


def test_the_rest(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        await api.host()
        many = {f"k{number}": "v" for number in range(129)}
        cases: list[tuple[dict[str, Any], int, str]] = [
            ({"key_name": "nobody"}, 400, "Invalid key_name provided."),
            ({"availability_zone": "nowhere"}, 400, "The requested availability zone is not available"),
            ({"availability_zone": "nova:h1"}, 403, "forced_host"),
            ({"host": "h1"}, 403, "forced_host"),
            ({"hints": {"group": NONE}}, 400, f"Instance group {NONE} could not be found."),
            ({"hints": {"group": "x"}}, 400, "is not a 'uuid'"),
            ({"hints": {"same_host": "x"}}, 400, "uuid"),
            ({"user_data": "a" * 65536}, 400, "too long"),
            ({"metadata": many}, 403, "metadata items"),
            ({"metadata": {"k" * 256: "v"}}, 400, "Additional properties are not allowed"),
            ({"name": " "}, 400, "too short"),
            ({"name": "a" * 256}, 400, "too long"),
            (
                {"hostname": "web", "min_count": 2},
                400,
                "Unable to allocate a single hostname to multiple instances",
            ),
            ({"hostname": "-web"}, 400, "is not a valid hostname"),
            ({"personality": []}, 400, "Additional properties are not allowed"),
            ({"min_count": 3, "max_count": 2}, 400, "min_count must be <= max_count"),
            ({"min_count": 0}, 400, "less than the minimum"),
            ({"min_count": 11}, 403, "Quota exceeded for instances"),
            ({"flavorRef": "5", "min_count": 3}, 403, "Quota exceeded for cores"),
            ({"trusted_image_certificates": ["x"]}, 400, "certificates are not available"),
        ]
        await _refused(
            api, [({"networks": "none", **values}, status, part) for values, status, part in cases]
        )
        admin = api.as_("admin")
        await _refused(
            admin,
            [
                ({"availability_zone": "nova:nowhere", "networks": "none"}, 400, "Compute host nowhere"),
                (
                    {"availability_zone": "a:b:c:d", "networks": "none"},
                    400,
                    "Unable to parse availability_zone",
                ),
                ({"host": "nowhere", "networks": "none"}, 400, "Compute host nowhere could not be found."),
                (
                    {"hypervisor_hostname": "nowhere", "networks": "none"},
                    400,
                    "No hypervisor matching 'nowhere'",
                ),
            ],
        )
        old = api.at("2.56")
        files = [{"path": "/etc/motd", "contents": "aGVsbG8=\n"}]
        server = {"name": "vm", "flavorRef": "1", "imageRef": IMAGE, "networks": "none"}
        for personality, status in (
            (files * 6, 403),
            ([{"path": "p" * 256, "contents": "aGVsbG8="}], 403),
            ([{"path": "/p", "contents": "aGVs" * 2561}], 403),
            ([{"path": "/p", "contents": "abc"}], 400),
            ([{"path": "/p"}], 400),
        ):
            answer = await old("POST", "/servers", {"server": {**server, "personality": personality}})
            assert answer.status == status, (personality[0]["path"][:9], answer)
        answer = await old("POST", "/servers", {"server": {**server, "personality": files}})
        assert answer.status == 202

    tell(story, tmp_path)


def test_an_interface_on_an_external_network(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host()
        admin = api.as_("admin")
        server_id = (await api.boot(host, networks="none"))["id"]
        outside = (await _make(admin, "networks", name="outside", **{"router:external": True}))["id"]
        await _make(admin, "subnets", network_id=outside, cidr="203.0.113.0/24", ip_version=4)
        body = {"interfaceAttachment": {"net_id": outside}}
        assert (await api("POST", f"/servers/{server_id}/os-interface", body)).status == 403
        assert (await admin("POST", f"/servers/{server_id}/os-interface", body)).status == 200

    tell(story, tmp_path)
