"""Provide what both ends of a connection need: TLS, certificates, the address of the peer."""
