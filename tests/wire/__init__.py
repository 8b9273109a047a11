"""Tests of C{xferproto.wire}."""
