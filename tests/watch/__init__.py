"""Tests of C{xferproto.watch}."""
