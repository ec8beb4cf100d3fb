"""NDP proxies as a part of the API."""

from __future__ import annotations

from pileus.resource.declaration import Extension
from pileus.services.network.ndp_proxies import work
from pileus.services.network.ndp_proxies.resource import NDP_PROXY, RULES
from pileus.web.crud import crud
from pileus.web.noun import Noun

NOUN = Noun(
    name="ndp_proxy",
    routes=crud(
        NDP_PROXY,
        "/v2.0/ndp_proxies",
        create=work.ndp_proxy_create,
        update=work.ndp_proxy_update,
        delete=work.ndp_proxy_delete,
    ),
    rules=RULES,
    extensions=(
        Extension(
            "l3-ndp-proxy", "L3 NDP Proxy", "Router support for L3 NDP proxy.", "2021-06-29T10:00:00-00:00"
        ),
        Extension(
            "l3-ext-ndp-proxy",
            "Router support to enable NDP proxy",
            "Router extension to enable ndp proxy",
            "2020-08-25T00:00:00-00:00",
        ),
    ),
)
