"""Says which Kubernetes API this is."""

GIT_VERSION = "v1.37.0"
