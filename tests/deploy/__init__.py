"""The Kubernetes manifests: rendered by kubectl, checked against the schemas, and against what we promise."""
