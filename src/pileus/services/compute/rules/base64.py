"""Base64 as OpenStack's services read it: what is not of the alphabet (newlines, say) is passed over."""

from __future__ import annotations

import base64
import binascii


def decode(text: str) -> bytes:
    """The bytes of a text. Raises ValueError where the padding is wrong, which is all that is looked at."""
    try:
        return base64.b64decode(text.encode("utf-8", "surrogatepass"), validate=False)
    except binascii.Error as error:
        raise ValueError(str(error)) from None
