"""Tests of C{xferproto.server.traffic}."""
