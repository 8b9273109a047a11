"""Limit what peers take: connections, bandwidth, and time without progress."""
