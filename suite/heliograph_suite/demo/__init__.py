"""The main job of Heliograph on real purchases, from an import to a chart."""
