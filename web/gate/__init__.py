"""Who may come in: bounded connections, passwords and roles, forged requests, refusals, the log of changes."""
