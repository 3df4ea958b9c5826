"""Schema changes of the projects service, in order; run by heliograph_kit.migrations."""
