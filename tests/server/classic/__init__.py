"""Tests of the classic protocol."""
