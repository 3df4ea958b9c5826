"""Tests of Heliograph, by service."""
