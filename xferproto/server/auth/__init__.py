"""Authenticate users: passwords, certificates, and delays after wrong logins."""
