"""Environments of jobs: made by uv once on a host, shared by its processes, removed when unused."""
