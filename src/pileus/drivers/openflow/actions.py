"""The actions of a flow, in one canonical form (ovs-actions(7)).

Compared are the effects that a switch may write in another way than we did: ``load`` and
``set_field``, ``mod_*`` and ``set_field``, names of fields, notation of numbers, the order of
the arguments of ``ct``. The order of actions means something and is kept.
"""

from __future__ import annotations

import re

from pileus.drivers.openflow.fields import FIELDS, PORTS, BadFlow, Field, field, integer, port, value_and_mask
from pileus.drivers.openflow.memos import MEMOS

_MODIFY = {
    "mod_dl_src": "dl_src",
    "mod_dl_dst": "dl_dst",
    "mod_nw_src": "nw_src",
    "mod_nw_dst": "nw_dst",
    "mod_tp_src": "tp_src",
    "mod_tp_dst": "tp_dst",
    "mod_nw_ttl": "nw_ttl",
    "mod_nw_ecn": "nw_ecn",
    "set_tunnel": "tun_id",
    "set_tunnel64": "tun_id",
}
_VLAN_ID = ("mod_vlan_vid", "set_vlan_vid")
_VLAN_PRIORITY = ("mod_vlan_pcp", "set_vlan_pcp")
_KNOWN = frozenset(
    (
        *("output", "controller", "bundle", "bundle_load", "group", "drop", "clone", "exit"),
        *("strip_vlan", "pop_vlan", "push_vlan", "push_mpls", "pop_mpls"),
        *("set_field", "load", "move", "push", "pop"),
        *("set_mpls_ttl", "dec_mpls_ttl", "dec_ttl", "mod_nw_tos", "set_queue", "pop_queue"),
        *("resubmit", "learn", "conjunction", "ct", "ct_clear", "note", "sample", "multipath"),
        *("fin_timeout", "check_pkt_larger", "write_metadata", "meter", "goto_table"),
        *("write_actions", "clear_actions"),
        *_MODIFY,
        *_VLAN_ID,
        *_VLAN_PRIORITY,
    )
)
_LEARN_ARGUMENTS = frozenset(
    (
        *("table", "idle_timeout", "hard_timeout", "fin_idle_timeout", "fin_hard_timeout", "priority"),
        *("cookie", "limit", "result_dst", "send_flow_rem", "delete_learned"),
    )
)
_CONTROLLER = "controller:65535"
_CHUNK = 64
_SUBFIELD = re.compile(r"(\w+)(?:\[(?:(\d+)(?:\.\.(\d+))?)?\])?")
_WORD = re.compile(r"\b0[xX][0-9a-fA-F]+\b|\b([A-Za-z_][A-Za-z_0-9]*)(?:\[(?:(\d+)(?:\.\.(\d+))?)?\])?")


@MEMOS.remember(32768)
def canonical_actions(text: str, has_vlan: bool = False) -> str:
    """The canonical form of an action list; "" drops. ``has_vlan``: the match implies a VLAN tag.

    Raises BadFlow.
    """
    done = []
    tags = int(has_vlan)
    for action in split_arguments(text):
        name, _, argument = action.partition(":")
        if name in _VLAN_ID or name in _VLAN_PRIORITY:
            # Without a tag for sure, a switch that speaks OpenFlow 1.1 or later adds one first.
            if not tags:
                done.append("push_vlan:33024")
                tags = 1
            if name in _VLAN_ID:
                done.append(_assignment(field("vlan_vid"), integer(argument) | 0x1000, 0x1FFF))
            else:
                done.append(_assignment(field("vlan_pcp"), integer(argument), 0x7))
            continue
        form = _action(action)
        if form == "pop_vlan":
            tags = max(tags - 1, 0)
        elif form.startswith("push_vlan"):
            tags += 1
        if form:
            done.append(form)
    return ",".join(done)


def check_actions(text: str) -> None:
    """Raise BadFlow for an action that ovs-actions(7) does not know."""
    for action in split_arguments(text):
        name = _head(action)[0]
        if name.lower() not in _KNOWN and name.upper() not in PORTS and not name.isdigit():
            raise BadFlow(f"unknown action {name}")


def split_arguments(text: str) -> list[str]:
    """The parts between commas that are not inside of parentheses."""
    if "(" not in text:
        return [part.strip() for part in text.split(",") if part.strip()]
    parts = []
    depth = start = 0
    for found in re.finditer(r"[(),]", text):
        match found.group():
            case "(":
                depth += 1
            case ")":
                depth -= 1
            case _ if depth == 0:
                parts.append(text[start : found.start()].strip())
                start = found.end()
    if depth:
        raise BadFlow(f"{text}: the parentheses do not match")
    parts.append(text[start:].strip())
    return [part for part in parts if part]


def subfield(text: str) -> tuple[Field, int, int]:
    """A field with its first and last bit, from ``NXM_NX_REG0[0..15]``, ``reg0[]`` or ``reg0``."""
    found = _SUBFIELD.fullmatch(text.strip())
    if found is None:
        raise BadFlow(f"{text} is not a field or a part of one")
    known = field(found[1])
    if found[2] is None:
        # Of a part, ovs-fields(7) counts 12 bits here: the one that says whether there is a tag is none.
        part_of_tag = known.name == "vlan_vid" and "[" in text
        return known, 0, (12 if part_of_tag else known.bits) - 1
    low = int(found[2])
    high = int(found[3]) if found[3] else low
    if not low <= high < known.bits:
        raise BadFlow(f"{text}: {known.name} has {known.bits} bits")
    return known, low, high


@MEMOS.remember(16384)
def _action(action: str) -> str:
    name, separator, argument = _head(action)
    if not separator:
        upper = name.upper()
        if upper == "DROP":
            return ""
        if upper == "CONTROLLER":
            return _CONTROLLER
        if upper in PORTS or name.isdigit():
            return f"output:{port(name)}"
        if name in ("strip_vlan", "pop_vlan"):
            return "pop_vlan"
        return _generic(action)
    if name in _MODIFY:
        target = field(_MODIFY[name])
        return _assignment(target, target.parse(argument), target.ones)
    match name.lower():
        case "output" if argument.upper() == "CONTROLLER":
            return _CONTROLLER
        case "output":
            return f"output:{_output(argument)}"
        case "controller" if separator == ":":
            return f"controller:{argument}"
        case "controller":
            return _controller(argument)
        case "write_actions":
            return f"write_actions({canonical_actions(argument)})"
        case "resubmit":
            return _resubmit(argument)
        case "mod_nw_tos":
            return _assignment(field("ip_dscp"), integer(argument) >> 2, 0x3F)
        case "set_field":
            value, arrow, target_text = argument.partition("->")
            if not arrow:
                raise BadFlow(f"{action}: -> is missing")
            known, low, high = subfield(target_text)
            if (low, high) != (0, known.bits - 1):
                return _loaded(known, low, high, integer(value))
            _, number, mask = value_and_mask(known.name, value)
            return _assignment(known, number, mask)
        case "load":
            value, arrow, target_text = argument.partition("->")
            if not arrow:
                raise BadFlow(f"{action}: -> is missing")
            known, low, high = subfield(target_text)
            return _loaded(known, low, high, known.parse(value))
        case "move":
            source, _, target_text = argument.partition("->")
            return f"move:{_subfield_text(source)}->{_subfield_text(target_text)}"
        case "ct":
            return f"ct({_ct(argument)})"
        case "learn":
            return f"learn({_learn(argument)})"
        case "clone":
            return f"clone({canonical_actions(argument)})"
        case "note":
            octets = [octet for octet in argument.split(".") if octet]
            octets += ["00"] * (-(len(octets) + 2) % 8)  # the action is padded to a multiple of 8
            return "note:" + ".".join(octets).lower()
    return _generic(action)


def _head(action: str) -> tuple[str, str, str]:
    """An action's name, what follows it (a colon, a parenthesis or nothing), and its argument."""
    for place, character in enumerate(action):
        if character == ":":
            return action[:place], ":", action[place + 1 :]
        if character == "(":
            return action[:place], "(", action[place + 1 : -1] if action.endswith(")") else action[place:]
    return action, "", ""


def _output(argument: str) -> str:
    if argument.upper() in PORTS or argument[:1].isdigit():
        return str(port(argument))
    return _subfield_text(argument)


def _resubmit(argument: str) -> str:
    inside, _, rest = argument.partition(",")
    inside = inside.strip()
    number = "" if not inside or inside.upper() == "IN_PORT" else str(port(inside))
    return f"resubmit({number},{rest.replace(' ', '')})"


def _ct(argument: str) -> str:
    done = []
    for part in split_arguments(argument):
        key, separator, value = _head(part)
        if separator == "(" and key == "exec":
            done.append(f"exec({canonical_actions(value)})")
        elif separator == "(" and key == "nat":
            done.append(f"nat({','.join(sorted(split_arguments(value)))})")
        elif part.startswith("zone="):
            zone = part[5:]
            if zone[:1].isdigit():
                if integer(zone):
                    done.append(f"zone={integer(zone)}")
            else:
                done.append(f"zone={_subfield_text(zone)}")
        else:
            done.append(_generic(part))
    return ",".join(sorted(done))


def _controller(argument: str) -> str:
    """In one order, without what is so unless another is said."""
    values = {key: value for key, _, value in (part.partition("=") for part in split_arguments(argument))}
    most = integer(values.pop("max_len", "65535"))
    for name, usual in (("reason", "action"), ("id", "0"), ("userdata", ""), ("meter_id", "")):
        if values.get(name) == usual:
            del values[name]
    if not values:
        return f"controller:{most}"
    if most != 65535:
        values["max_len"] = str(most)
    return f"controller({','.join(f'{key}={values[key]}' for key in sorted(values))})"


def _learn(argument: str) -> str:
    """Arguments in any order come first, then what is matched and done, in order."""
    arguments, specifications = [], []
    for part in split_arguments(argument):
        key = part.partition("=")[0]
        if key in _LEARN_ARGUMENTS:
            arguments.append(_generic(part))
        elif key in FIELDS and key != part:
            name, value, mask = value_and_mask(key, part.partition("=")[2])
            specifications.append(f"{name}={value}/{mask:x}")
        else:
            specifications.append(_generic(part))
    return ",".join([*sorted(arguments), *specifications])


def _subfield_text(text: str) -> str:
    known, low, high = subfield(text)
    return f"{known.name}[{low}..{high}]"


def _loaded(known: Field, low: int, high: int, value: int) -> str:
    width = high - low + 1
    if value >= 1 << width:
        raise BadFlow(f"{value} does not fit into {width} bits of {known.name}")
    return _assignment(known, value << low, ((1 << width) - 1) << low)


def _assignment(known: Field, value: int, mask: int) -> str:
    if mask < 1 << _CHUNK:
        return f"{known.name}={value}/{mask:x}"
    # A load writes 64 bits at most: a switch splits wider ones, the low bits first.
    parts = []
    for shift in range(0, known.bits, _CHUNK):
        chunk = mask & ((1 << _CHUNK) - 1) << shift
        if chunk:
            parts.append(f"{known.name}={value & chunk}/{chunk:x}")
    return ",".join(parts)


def _generic(text: str) -> str:
    """Numbers in decimal, fields by their one name, no spaces: enough where nothing else varies."""

    def word(found: re.Match[str]) -> str:
        if found[1] is None:
            return str(int(found[0], 16))
        if "[" not in found[0]:
            return found[0]
        return _subfield_text(found[0])

    return _WORD.sub(word, text).replace(" ", "")
