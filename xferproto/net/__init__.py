"""What either end of a connection needs: TLS, certificates, and who the peer is."""
