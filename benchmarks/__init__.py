"""Measurements of a running Pileus. ``python -m benchmarks`` prints the table; see docs/performance.md."""
