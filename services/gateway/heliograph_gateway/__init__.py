"""Heliograph's HTTP edge: what comes in from outside, handed to whom it concerns."""
