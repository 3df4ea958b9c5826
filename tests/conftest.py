"""Real servers and waiting for every test below."""

pytest_plugins = ["heliograph_kit.testing.fixtures"]
