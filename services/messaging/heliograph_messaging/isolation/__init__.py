"""Plugins of strangers in processes of their own. `host` runs there, `process` and `channel` here; see README.md."""
