"""The projects service: projects, API keys and the audit log."""
