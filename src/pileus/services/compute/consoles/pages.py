"""The pages of consoles: noVNC for displays, xterm.js for serial lines, and the files of both.

A page is the same for everybody and shows nothing by itself: its script opens the WebSocket at the page's own
path, and the token there decides. Scripts run by a nonce; connections go to this cloud alone.
"""

from __future__ import annotations

import html
import secrets
from string import Template

from pileus.core.errors import NotFound
from pileus.web.assets import asset, has_assets, media_type
from pileus.web.reply import Reply
from pileus.web.request import Request

ASSETS_PATH = "/consoles/assets"

_PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>$title</title>
<style>
html, body { margin: 0; height: 100%; background: #202020; color: #e0e0e0; font: 14px sans-serif; }
body { display: flex; flex-direction: column; }
header { display: flex; gap: 1em; align-items: center; padding: 4px 10px; background: #303030; }
#status { flex: 1; }
#console { flex: 1; min-height: 0; overflow: hidden; }
</style>
$styles
</head>
<body>
<header><span id="status" role="status">$status</span>$buttons</header>
<main id="console"></main>
<noscript>A console needs JavaScript.</noscript>
$scripts
</body>
</html>
""")

_WHERE = """
const asked = new URLSearchParams(location.search);
const nested = new URLSearchParams((asked.get("path") || "").split("?")[1] || "");
const token = asked.get("token") || nested.get("token") || "";
const address = new URL(location.pathname, location.href);
address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
address.search = "token=" + encodeURIComponent(token);
const status = document.getElementById("status");
function say(text) { status.textContent = text; }
const GONE = "The console is closed: its address has ended, or the server is off. Ask for another address.";
"""

_VNC = Template("""<script type="module" nonce="$nonce">
import RFB from "$assets/novnc/core/rfb.js";
$where
const rfb = new RFB(document.getElementById("console"), address.href, { wsProtocols: ["binary"] });
rfb.scaleViewport = true;
rfb.addEventListener("connect", () => { say("Connected"); document.title = "Console"; rfb.focus(); });
rfb.addEventListener("desktopname", (event) => { say(event.detail.name); });
rfb.addEventListener("disconnect", () => { say(GONE); });
document.getElementById("keys").addEventListener("click", () => { rfb.sendCtrlAltDel(); rfb.focus(); });
window.pileusConsole = rfb;
</script>""")

_SERIAL = Template("""<script src="$assets/xterm/lib/xterm.js" nonce="$nonce"></script>
<script src="$assets/xterm-fit/lib/addon-fit.js" nonce="$nonce"></script>
<script type="module" nonce="$nonce">
$where
const terminal = new Terminal({ scrollback: 10000 });
const fit = new FitAddon.FitAddon();
terminal.loadAddon(fit);
terminal.open(document.getElementById("console"));
fit.fit();
addEventListener("resize", () => fit.fit());
const socket = new WebSocket(address.href, ["binary"]);
socket.binaryType = "arraybuffer";
const text = new TextEncoder();
socket.onopen = () => { say("Connected. Press Enter for a prompt."); terminal.focus(); };
socket.onmessage = (event) => { terminal.write(new Uint8Array(event.data)); };
socket.onclose = () => { say(GONE); };
terminal.onData((data) => { if (socket.readyState === 1) socket.send(text.encode(data)); });
terminal.onBinary((data) => {
  if (socket.readyState === 1) socket.send(Uint8Array.from(data, (letter) => letter.charCodeAt(0)));
});
window.pileusConsole = terminal;
</script>""")

_MISSING = (
    "The files of {what} are not installed on this server: lock/fetch-assets fetches them, as the launcher "
    "and the build of a package do. The console's address works with other clients of WebSockets."
)


def _page(request: Request, package: str, scripts: Template, *, styles: str = "", buttons: str = "") -> Reply:
    nonce = secrets.token_urlsafe(16)
    assets = f"{request.service_url}{ASSETS_PATH}"
    there = has_assets(package.lower().partition(".")[0])
    values = {"nonce": nonce, "assets": html.escape(assets), "where": _WHERE}
    text = _PAGE.substitute(
        title=f"Console ({package})",
        status="Connecting …" if there else _MISSING.format(what=package),
        styles=styles.format(assets=html.escape(assets)) if there else "",
        buttons=buttons if there else "",
        scripts=scripts.substitute(values) if there else "",
    )
    own = request.base_url
    policy = (
        f"default-src 'none'; script-src 'nonce-{nonce}' {own}; style-src 'unsafe-inline' {own}; "
        f"img-src {own} data: blob:; font-src {own} data:; connect-src {own} {own.replace('http', 'ws', 1)}; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
    )
    headers = [
        (b"content-type", b"text/html; charset=utf-8"),
        (b"content-security-policy", policy.encode("latin-1", "replace")),
        (b"cache-control", b"no-store"),
        (b"referrer-policy", b"no-referrer"),
        (b"x-content-type-options", b"nosniff"),
    ]
    return Reply(200, text.encode(), headers)


async def vnc_page(request: Request) -> Reply:
    """The page of a display."""
    button = '<button id="keys" type="button">Ctrl+Alt+Del</button>'
    return _page(request, "noVNC", _VNC, buttons=button)


async def serial_page(request: Request) -> Reply:
    """The page of a serial line."""
    styles = '<link rel="stylesheet" href="{assets}/xterm/css/xterm.css">'
    return _page(request, "xterm.js", _SERIAL, styles=styles)


async def asset_file(request: Request) -> Reply:
    """A file of noVNC or xterm.js, with the licences that came with it."""
    name = request.path["file"]
    content = asset(name)
    if content is None:
        raise NotFound
    headers = [
        (b"content-type", media_type(name).encode()),
        (b"cache-control", b"public, max-age=3600"),
        (b"x-content-type-options", b"nosniff"),
    ]
    return Reply(200, content, headers)
