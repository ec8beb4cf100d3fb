"""Microversions: a list with a sentence each, and the negotiation of one per request.

``OpenStack-API-Version: compute 2.95`` (the API-WG guideline), the service's
older header (``X-OpenStack-Nova-API-Version: 2.95``), or the word ``latest``.
A request without either is served at the minimum. A route serves a window of
versions and is not there outside of it (404).
"""

from __future__ import annotations

from collections.abc import Sequence

from pileus.core.errors import Invalid
from pileus.resource.versions import Version, parse
from pileus.web.faults import NotAcceptable


class InvalidAPIVersionString(Invalid):
    """The header is not of the form major.minor."""

    message = "API Version String {version} is of invalid format. Must be of format MajorNum.MinorNum."


class InvalidGlobalAPIVersion(NotAcceptable):
    """The version is outside of what is served."""

    message = "Version {version} is not supported by the API. Minimum is {minimum} and maximum is {maximum}."


class Microversions:
    """The versions of a service, oldest first, each with what it brought."""

    def __init__(
        self, service_type: str, versions: Sequence[tuple[str, str]], *, legacy_header: str | None = None
    ) -> None:
        self.service_type = service_type
        self.sentences = {parse(number): sentence for number, sentence in versions}
        self.minimum = min(self.sentences)
        self.maximum = max(self.sentences)
        self.legacy_header = legacy_header
        self._legacy = legacy_header.lower().encode() if legacy_header else None
        vary = ["OpenStack-API-Version", *([legacy_header] if legacy_header else [])]
        self.vary = ", ".join(vary).encode()

    def negotiate(self, headers: dict[bytes, bytes]) -> Version:
        """The version of a request. Raises Invalid (malformed) or NotAcceptable (not served)."""
        text = self._asked(headers)
        if text is None:
            return self.minimum
        if text == "latest":
            return self.maximum
        try:
            version = parse(text)
        except ValueError:
            raise InvalidAPIVersionString(version=text) from None
        if not self.minimum <= version <= self.maximum:
            raise InvalidGlobalAPIVersion(version=text, minimum=self.minimum, maximum=self.maximum)
        return version

    def _asked(self, headers: dict[bytes, bytes]) -> str | None:
        asked = headers.get(b"openstack-api-version")
        if asked is not None:
            for entry in asked.decode("latin-1").split(","):
                words = entry.split()
                if words and words[0].lower() == self.service_type:
                    return words[1] if len(words) == 2 else ""
        legacy = headers.get(self._legacy) if self._legacy else None
        return legacy.decode("latin-1").strip() if legacy is not None else None

    def reply_headers(self, version: Version) -> list[tuple[bytes, bytes]]:
        """Make the headers that tell with which version a reply was made."""
        said = [
            (b"openstack-api-version", f"{self.service_type} {version}".encode()),
            (b"vary", self.vary),
        ]
        if self._legacy:
            said.append((self._legacy, str(version).encode()))
        return said
