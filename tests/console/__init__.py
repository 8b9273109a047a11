"""Tests of C{xferproto.console}."""
