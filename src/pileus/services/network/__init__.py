"""Networks, subnets, ports, security groups, agents and QoS: the network API and its wire side."""
