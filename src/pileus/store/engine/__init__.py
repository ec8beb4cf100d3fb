"""Engines: how units of work reach each database. One SQLite file has one writer thread; PostgreSQL and
MariaDB have pools of threads and connections. All run a unit in one hop of threads."""
