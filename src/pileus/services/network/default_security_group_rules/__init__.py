"""Default security group rules: the rules that new security groups begin with."""
