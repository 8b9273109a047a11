"""Tests of C{xferproto.depot}."""
