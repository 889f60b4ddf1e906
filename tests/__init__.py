"""Tests of autospace."""
