"""The `heliograph` command: all of Heliograph on one machine, and a demonstration of it on real purchases."""
