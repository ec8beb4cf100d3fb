"""The database: units of work, events, operations, leases, migrations, on SQLite, PostgreSQL and MariaDB.

store = await Store.open("sqlite:///pileus.sqlite")
port = await store.write(port_create, context, spec)     # def port_create(tx: Tx, context, spec) -> Port
"""

from pileus.store.engine.unit import TALLY
from pileus.store.errors import Duplicate, Referenced
from pileus.store.event import Event, Published
from pileus.store.leases import lease_release, lease_take
from pileus.store.operations import Operation
from pileus.store.store import Store
from pileus.store.tx import Tx

__all__ = [
    "TALLY",
    "Duplicate",
    "Event",
    "Operation",
    "Published",
    "Referenced",
    "Store",
    "Tx",
    "lease_release",
    "lease_take",
]
