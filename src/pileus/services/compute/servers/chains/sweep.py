"""Delete the bytes of images that went with a server's work from the store: one call, until it is done."""

from __future__ import annotations

from collections.abc import Iterable

from pileus.core.context import Context
from pileus.flow.chain import Chain, Step
from pileus.resource.declaration import Values
from pileus.services.compute.servers.chains.common import Parts, begin
from pileus.services.compute.uses.image import image_drop, images_of
from pileus.store.operations import Operation
from pileus.store.tx import Tx


def images_away(tx: Tx, context: Context, several: Iterable[tuple[Values, str | None]], parts: Parts) -> None:
    """Delete images of servers (pairs of a server and an image's id) that nobody needs any more, and have
    their bytes deleted. Ids of images that are not there are passed over."""
    wanted = [(server, image_id) for server, image_id in several if image_id]
    images = images_of(tx, {image_id for _, image_id in wanted})
    for server, image_id in wanted:
        image = images.get(image_id)
        name = image_drop(tx, context, image) if image is not None else None
        if name:
            begin(tx, context, SWEEP, server, {"objects": [name]}, parts)


async def sweep(context: Context, operation: Operation, parts: Parts) -> None:
    """Delete the objects that an operation names."""
    for name in operation.data["objects"]:
        await parts.images.delete_data(name)


SWEEP = Chain("server.sweep", (Step("sweep", sweep),))
