"""What a server takes from its peers: connections, bandwidth, patience."""
