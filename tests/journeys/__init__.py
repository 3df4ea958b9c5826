"""Tests of the journeys service."""
