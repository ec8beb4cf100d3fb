"""One reply of a metadata service on standard input and output, as QEMU's ``guestfwd=…-cmd:`` starts it.

Its argument is a folder: the path asked for is a file below it, and is noted in its file `requests`.
"""

import sys
from pathlib import Path


def main() -> None:
    folder = Path(sys.argv[1])
    request = sys.stdin.buffer.readline().decode()
    while sys.stdin.buffer.readline().strip():
        pass
    path = request.split()[1].lstrip("/")
    with (folder / "requests").open("a") as log:
        log.write(f"{path}\n")
    file = folder / path
    status, body = ("200 OK", file.read_bytes()) if file.is_file() else ("404 Not Found", b"no such thing\n")
    header = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    sys.stdout.buffer.write(header.encode() + body)


main()
