"""Tests of the project itself: its structure, its package, its documents, its bench and drills."""
