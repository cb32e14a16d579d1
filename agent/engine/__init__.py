"""The container engine, behind an interface the rest of the agent and its tests depend on."""
