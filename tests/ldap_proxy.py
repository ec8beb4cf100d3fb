"""A proxy before an LDAP server: it counts connections, keeps what clients said, may know a rule more.

With ``nesting`` it stands for Active Directory's rule of comparison that follows groups in groups: what a
client asks by it, the proxy works out and asks the server in its words.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Any, Self

import ldap3

from tests.ldap import ADMIN, ADMIN_PASSWORD, SUFFIX, Ldap

IN_CHAIN = "1.2.840.113556.1.4.1941"
# Tags of RFC 4511's encoding.
_SEQUENCE, _TEXT, _SEARCH = 0x30, 0x04, 0x63
_AND, _OR, _NOT, _EQUAL, _PRESENT, _SUBSTRINGS, _EXTENSIBLE = 0xA0, 0xA1, 0xA2, 0xA3, 0x87, 0xA4, 0xA9
_SIGNS = {_AND: "&", _OR: "|", _NOT: "!"}
_RULE, _TYPE, _VALUE = 0x81, 0x82, 0x83


class LdapProxy:
    """``said`` are all bytes of clients; ``filters`` those of their searches, as they came.

    ``made`` is how many connections there were, ``most`` how many at once; the next ``drops`` of them are
    closed at once.
    """

    def __init__(self, server: Ldap, *, nesting: bool = False) -> None:
        self._server = server
        self._nesting = nesting
        self._lock = threading.Lock()
        self.said = b""
        self.filters: list[str] = []
        self.made = self.open = self.most = self.drops = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"ldap://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                with self._lock:
                    self.made += 1
                    dropped = self.drops > 0
                    self.drops -= dropped
                if dropped:
                    client.close()
                    continue
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with self._lock:
            self.open += 1
            self.most = max(self.most, self.open)
        try:
            here = ("127.0.0.1", self._server.port)
            with client, contextlib.suppress(OSError), socket.create_connection(here) as server:
                threading.Thread(target=self._pump, args=(server, client), daemon=True).start()
                self._listen(client, server)
        finally:
            with self._lock:
                self.open -= 1

    def _pump(self, server: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(65536):
                client.sendall(data)
            client.shutdown(socket.SHUT_RDWR)

    def _listen(self, client: socket.socket, server: socket.socket) -> None:
        held = b""
        while data := client.recv(65536):
            with self._lock:
                self.said += data
            held += data
            while held:
                length = _length(held)
                if held[0] != _SEQUENCE:  # no LDAP any more: TLS
                    server.sendall(held)
                    held = b""
                elif length is None or len(held) < length:
                    break
                else:
                    server.sendall(self._translated(held[:length]))
                    held = held[length:]

    def _translated(self, data: bytes) -> bytes:
        ((_, message),) = _parts(data)
        number, (tag, operation), *controls = _parts(message)
        if tag != _SEARCH:
            return data
        fields = _parts(operation)
        with self._lock:
            self.filters.append(_shown(*fields[6]))
        if self._nesting:
            fields[6] = self._known(*fields[6])
        return _made(_SEQUENCE, number, (_SEARCH, _joined(fields)), *controls)

    def _known(self, tag: int, content: bytes) -> tuple[int, bytes]:
        """The same condition in words that the server knows."""
        if tag in (_AND, _OR, _NOT):
            return tag, _joined([self._known(*one) for one in _parts(content)])
        fields = dict(_parts(content)) if tag == _EXTENSIBLE else {}
        if fields.get(_RULE, b"").decode() != IN_CHAIN:
            return tag, content
        attribute, dn = fields[_TYPE].decode(), fields[_VALUE].decode().lower()
        groups = self._groups()
        down = attribute.lower() == "memberof"  # everything in the group, and in groups that are in it
        found, grown = {dn}, True
        while grown:
            if down:
                more = {one for key in found for one in groups.get(key, ())}
            else:  # the groups that have it, and those that have these
                more = {key for key, members in groups.items() if members & found}
            grown = not more <= found
            found |= more
        name = "entryDN" if down else attribute
        wanted = sorted(found - {dn} if down else found)
        equal = [_joined([(_TEXT, name.encode()), (_TEXT, one.encode())]) for one in wanted]
        return _OR, _joined([(_EQUAL, one) for one in equal])

    def _groups(self) -> dict[str, set[str]]:
        connection: Any = ldap3.Connection(
            ldap3.Server(self._server.url, get_info=ldap3.NONE), ADMIN, ADMIN_PASSWORD, auto_bind=True
        )
        connection.search(SUFFIX, "(objectClass=groupOfNames)", attributes=["member"])
        found = {
            entry["dn"].lower(): {one.lower() for one in entry["attributes"]["member"]}
            for entry in connection.response
        }
        connection.unbind()
        return found


def _shown(tag: int, content: bytes) -> str:
    """A filter as text."""
    if tag in (_AND, _OR, _NOT):
        inner = "".join(_shown(*one) for one in _parts(content))
        return f"({_SIGNS[tag]}{inner})"
    if tag == _PRESENT:
        return f"({content.decode()}=*)"
    values = [value for _, value in _parts(content)]
    if tag == _EXTENSIBLE:
        fields = dict(_parts(content))
        return f"({fields[_TYPE].decode()}:{fields[_RULE].decode()}:={fields[_VALUE].decode()})"
    if tag == _SUBSTRINGS:
        return f"({values[0].decode()}=*{'*'.join(value.decode() for _, value in _parts(values[1]))}*)"
    return f"({values[0].decode()}={values[1].decode()})"


def _parts(data: bytes) -> list[tuple[int, bytes]]:
    """The elements that data is made of: tag and content."""
    found = []
    while data:
        whole, head = _length(data), 2 + (data[1] & 0x7F if data[1] >= 0x80 else 0)
        assert whole is not None
        found.append((data[0], data[head:whole]))
        data = data[whole:]
    return found


def _joined(parts: list[tuple[int, bytes]]) -> bytes:
    return b"".join(_made(tag, content) for tag, content in parts)


def _made(tag: int, *content: bytes | tuple[int, bytes]) -> bytes:
    """An element of contents, or of elements."""
    inside = b"".join(one if isinstance(one, bytes) else _made(*one) for one in content)
    size = len(inside)
    if size < 0x80:
        return bytes([tag, size]) + inside
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + inside


def _length(data: bytes) -> int | None:
    """The length of the element that data begins with; None if that is not there yet."""
    if len(data) < 2:
        return None
    if data[1] < 0x80:
        return 2 + data[1]
    count = data[1] & 0x7F
    if len(data) < 2 + count:
        return None
    return 2 + count + int.from_bytes(data[2 : 2 + count], "big")
