"""Tests of C{xferproto.transfer}."""
