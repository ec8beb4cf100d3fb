"""Networks made for projects on demand: a network, its subnets and a router outside in one request."""
