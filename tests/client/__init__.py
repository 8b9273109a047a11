"""Tests of C{xferproto.client}."""
