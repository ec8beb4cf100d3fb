"""Pure decisions of identity: values in, values out."""
