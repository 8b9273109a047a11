"""Tests of C{xferproto.server.line}."""
