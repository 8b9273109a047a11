"""Tests of C{xferproto.store}."""
