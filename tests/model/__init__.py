"""Tests of C{xferproto.model}."""
