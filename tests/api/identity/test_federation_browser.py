"""Log-ins through a browser, for a dashboard, tried against a provider."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from urllib.request import HTTPRedirectHandler, build_opener

import pytest
from tests.api.identity.cloud import Client, Cloud
from tests.api.identity.test_federation import CLAIMS, DASHBOARD, corp, tell
from tests.openid_provider import Provider


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with Provider() as one:
        yield one


class _Stay(HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


def _follow(url: str) -> str:
    """Where the provider sends a browser."""
    try:
        build_opener(_Stay).open(url)
    except Exception as answer:
        return str(answer.headers["location"])  # type: ignore[attr-defined]
    raise AssertionError


async def back_from_provider(cloud: Cloud, provider: Provider) -> tuple[str, str]:
    """The path and the cookie with which ann's browser comes back."""
    provider.people["ann"] = ("secret", {key: CLAIMS[key] for key in CLAIMS if key != "sub"})
    away = await cloud.anyone("GET", f"/v3/auth/OS-FEDERATION/websso/openid?origin={DASHBOARD}")
    assert away.status == 302, away
    back = urlsplit(_follow(away.headers["location"]))
    return f"{back.path.removeprefix('/identity')}?{back.query}", away.headers["set-cookie"].partition(";")[0]


def test_a_browser_logs_in_for_a_dashboard(provider: Provider, tmp_path: Path):
    async def story(cloud: Cloud) -> None:
        provider.people["ann"] = ("secret", {key: CLAIMS[key] for key in CLAIMS if key != "sub"})
        await corp(cloud, provider)
        sso = "/v3/auth/OS-FEDERATION/websso/openid"
        assert (await cloud.anyone("GET", sso)).status == 400
        for origin in ("https://evil.example/", DASHBOARD + "x", "https://dashboard.example"):
            refused = await cloud.anyone("GET", f"{sso}?origin={origin}")
            assert refused.status == 400 and "is not a trusted dashboard host" in refused.message
        away = await cloud.anyone("GET", f"{sso}?origin={DASHBOARD}")
        assert away.status == 302, away
        named = f"/v3/auth/OS-FEDERATION/identity_providers/corp/protocols/openid/websso?origin={DASHBOARD}"
        assert (await cloud.anyone("GET", named)).status == 302
        asked = parse_qs(urlsplit(away.headers["location"]).query)
        assert asked["code_challenge_method"] == ["S256"] and asked["client_id"] == ["pileus"]
        cookie = away.headers["set-cookie"].partition(";")[0]
        back = urlsplit(_follow(away.headers["location"]))
        path = f"{back.path.removeprefix('/identity')}?{back.query}"
        assert (await cloud.anyone("GET", path)).status == 401, "another browser"
        again = urlsplit(_follow(away.headers["location"]))
        path = f"{again.path.removeprefix('/identity')}?{again.query}"
        page = await cloud.anyone("GET", path, cookie=cookie)
        assert page.status == 200 and page.headers["content-type"].startswith("text/html")
        text = page.body.decode()
        assert f'action="{DASHBOARD}"' in text
        found = re.search(r'name="token" value="([^"]+)"', text)
        assert found is not None
        assert (await Client(cloud.app, found[1])("GET", "/v3/auth/projects")).status == 200
        assert "script-src 'nonce-" in page.headers["content-security-policy"]
        assert (await cloud.anyone("GET", path, cookie=cookie)).status == 503, "a code counts once"
        cloud.clock.advance(3600)
        assert (await cloud.anyone("GET", path, cookie=cookie)).status == 401

    tell(provider, tmp_path, story)
