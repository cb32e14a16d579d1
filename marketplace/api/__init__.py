"""The public and the agent-facing HTTP API: views that translate, nothing more."""
