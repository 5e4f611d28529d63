"""Tests of Cocok."""
