"""Address groups: prefixes under a name, which security group rules may refer to."""
