"""A small OpenID Connect provider on Authlib, in a thread of its own."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import secrets
import threading
import time
import warnings
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from authlib.jose import JsonWebKey, jwt


class Provider:
    """Knows users with passwords and claims, and one client; ``issuer`` is where it listens."""

    client_id, client_secret = "pileus", "client secret"

    def __init__(self) -> None:
        self.people: dict[str, tuple[str, dict[str, Any]]] = {}
        self.codes: dict[str, dict[str, Any]] = {}
        self.devices: dict[str, str | None] = {}
        self.opaque: dict[str, dict[str, Any]] = {}
        self.gives_opaque = False
        self.asked: list[str] = []
        self.lifetime_s = 600
        self.signed_in = "ann"
        self.rotate()

    def rotate(self) -> None:
        """Sign with another key from now on."""
        options = {"kid": secrets.token_hex(4), "use": "sig", "alg": "RS256"}
        self.key = JsonWebKey.generate_key("RSA", 2048, options, is_private=True)

    def __enter__(self) -> Provider:
        ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, args=(ready,), daemon=True)
        self._thread.start()
        assert ready.wait(20)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(20)

    def _run(self, ready: threading.Event) -> None:
        async def start() -> None:
            app = web.Application()
            app.add_routes(
                [
                    web.get("/.well-known/openid-configuration", self._configuration),
                    web.get("/jwks", self._jwks),
                    web.post("/token", self._token),
                    web.get("/authorize", self._authorize),
                    web.post("/device", self._device),
                    web.post("/introspect", self._introspect),
                ]
            )
            runner = web.AppRunner(app)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            port = runner.addresses[0][1]
            self.issuer = f"http://127.0.0.1:{port}"
            ready.set()

        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(start())
        self._loop.run_forever()

    def token(
        self, claims: dict[str, Any], *, key: Any = None, algorithm: str = "RS256", **header: Any
    ) -> str:
        """A signed token with the usual claims below those given; None takes one out."""
        now = int(time.time())
        key = key or self.key
        whole = {
            "iss": self.issuer,
            "aud": self.client_id,
            "iat": now,
            "exp": now + self.lifetime_s,
            **claims,
        }
        whole = {name: value for name, value in whole.items() if value is not None}
        head = {"alg": "RS256", "kid": key.as_dict().get("kid")}
        return str(jwt.encode(head, whole, key).decode())

    async def _configuration(self, request: web.Request) -> web.Response:
        self.asked.append("configuration")
        names = {"authorization": "authorize", "token": "token", "introspection": "introspect"}
        document = {f"{name}_endpoint": f"{self.issuer}/{path}" for name, path in names.items()}
        document |= {"device_authorization_endpoint": f"{self.issuer}/device"}
        return web.json_response({"issuer": self.issuer, "jwks_uri": f"{self.issuer}/jwks", **document})

    async def _jwks(self, request: web.Request) -> web.Response:
        self.asked.append("jwks")
        return web.json_response({"keys": [self.key.as_dict(is_private=False)]})

    def _given(self, subject: str, claims: dict[str, Any], **more: Any) -> web.Response:
        text = self.token({"sub": subject, **claims, **more})
        access = text
        if self.gives_opaque:
            access = secrets.token_urlsafe(16)
            ends = int(time.time()) + self.lifetime_s
            self.opaque[access] = {
                "active": True, "sub": subject, "exp": ends, "client_id": self.client_id, **claims,
            }  # fmt: skip
        return web.json_response(
            {"access_token": access, "id_token": text, "token_type": "Bearer", "expires_in": self.lifetime_s}
        )

    def _is_client(self, request: web.Request, form: Any) -> bool:
        kind, _, value = request.headers.get("Authorization", "").partition(" ")
        if kind == "Basic":
            return base64.b64decode(value).decode() == f"{self.client_id}:{self.client_secret}"
        return bool(form.get("client_id") == self.client_id)

    async def _token(self, request: web.Request) -> web.Response:
        form = await request.post()
        if not self._is_client(request, form):
            return web.json_response({"error": "invalid_client"}, status=401)
        match form.get("grant_type"):
            case "password":
                found = self.people.get(str(form.get("username")))
                if found is None or found[0] != form.get("password"):
                    return web.json_response({"error": "invalid_grant"}, status=400)
                return self._given(str(form["username"]), found[1])
            case "client_credentials":
                return self._given(self.client_id, {"preferred_username": "service"})
            case "authorization_code":
                code = self.codes.pop(str(form.get("code")), None)
                verifier = str(form.get("code_verifier"))
                digest = hashlib.sha256(verifier.encode()).digest()
                challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
                if code is None or code["code_challenge"] != challenge:
                    return web.json_response({"error": "invalid_grant"}, status=400)
                return self._given(self.signed_in, self.people[self.signed_in][1], nonce=code["nonce"])
            case "urn:ietf:params:oauth:grant-type:device_code":
                who = self.devices.get(str(form.get("device_code")))
                if who is None:
                    return web.json_response({"error": "authorization_pending"}, status=400)
                return self._given(who, self.people[who][1])
        return web.json_response({"error": "unsupported_grant_type"}, status=400)

    async def _authorize(self, request: web.Request) -> web.Response:
        code = secrets.token_urlsafe(8)
        self.codes[code] = dict(request.query)
        query = urlencode({"code": code, "state": request.query["state"]})
        raise web.HTTPFound(f"{request.query['redirect_uri']}?{query}")

    async def _device(self, request: web.Request) -> web.Response:
        code = secrets.token_urlsafe(8)
        self.devices[code] = self.signed_in
        answer = {"device_code": code, "user_code": "ABCD", "verification_uri": f"{self.issuer}/enter"}
        complete = {"verification_uri_complete": f"{self.issuer}/enter?ABCD", "expires_in": 60, "interval": 1}
        return web.json_response({**answer, **complete})

    async def _introspect(self, request: web.Request) -> web.Response:
        form = await request.post()
        if not self._is_client(request, form):
            return web.json_response({}, status=401)
        return web.json_response(self.opaque.get(str(form.get("token")), {"active": False}))
