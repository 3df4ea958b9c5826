"""What `make bench` runs: figures of the product beside the bare parts it stands on. Nothing here asserts a time."""
