"""What has changed since a release was trained, and whether it matters."""
