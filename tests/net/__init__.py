"""Tests of C{xferproto.net}."""
