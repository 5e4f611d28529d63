"""Tests of the whole server under load: what it promises while much happens at once."""
