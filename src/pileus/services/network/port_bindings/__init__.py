"""Bindings of a port to several hosts, of which one is active (extension ``binding-extended``)."""
