"""Tests of C{xferproto.server}."""
