"""Networks: the segments that ports live on."""
