"""Pure decisions of the compute service: values in, values out."""
