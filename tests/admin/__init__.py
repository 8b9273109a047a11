"""Tests of C{xferproto.admin}."""
