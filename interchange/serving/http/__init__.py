"""The HTTP door: the protocol of connections, and what is asked on them."""
