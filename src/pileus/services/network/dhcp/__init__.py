"""DHCP: which agents serve a network, and with which port."""
