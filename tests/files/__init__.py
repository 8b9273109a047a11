"""Tests of C{xferproto.files}."""
