"""Several processes that serve one repository: a supervisor which serves nothing itself, and workers."""
