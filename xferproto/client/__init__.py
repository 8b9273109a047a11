"""The client: its protocol and factory, and the exchange that C{twistd xfer-client} runs."""
