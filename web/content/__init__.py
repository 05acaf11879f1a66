"""What pages and API have in common: the jobs, queues, workers and backups of the server, as they are shown and changed."""
