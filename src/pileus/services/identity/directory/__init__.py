"""Users and groups of LDAP directories: domains whose configuration names the driver ``ldap``."""
