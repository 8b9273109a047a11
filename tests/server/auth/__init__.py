"""Tests of C{xferproto.server.auth}."""
