"""Pure rules of the edge: what a token says, and which calls count as a person's."""
