"""Migrations of the schema `journeys`."""
