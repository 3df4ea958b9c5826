"""What endpoints and segments are and mean: pure, standard library only."""
