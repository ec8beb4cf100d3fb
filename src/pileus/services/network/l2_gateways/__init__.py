"""L2 gateways: networks reach machines at the ports of physical switches."""
