"""The 10DLC registry: brands, use cases and numbers, from draft to ready."""
