"""The pure decisions of the network service: values in, values out."""
