"""QoS specs: limits that volume types name."""
