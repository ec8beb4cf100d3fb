"""QoS: rule sets and what they limit (seed 004)."""
