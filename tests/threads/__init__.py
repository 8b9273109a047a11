"""Tests of C{xferproto.threads}."""
