"""Views as a request's dialect shows them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Select

from pileus.resource import view
from pileus.resource.declaration import Resource
from pileus.store.tx import Tx
from pileus.web.request import Request


def show(
    request: Request, resource: Resource, several: Sequence[Mapping[str, Any]], fields: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """Show values that are already in memory (that a unit of work returned)."""
    return view.show(request.access, resource, several, fields, request.dialect.decorator(request, resource))


class Page(view.Page):
    """Rows that were read for a request; ``statement`` makes the SELECT of the columns that it is given."""

    __slots__ = ()

    def __init__(
        self,
        tx: Tx,
        request: Request,
        resource: Resource,
        statement: Callable[[Sequence[Any]], Select[Any]],
        fields: Sequence[str],
        *,
        parameters: Mapping[str, Any] | None = None,
    ) -> None:
        decorate = request.dialect.decorator(request, resource)
        super().__init__(tx, request.access, resource, statement, fields, decorate, parameters=parameters)
