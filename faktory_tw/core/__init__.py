"""The domain: jobs, queues, sets, workers and what the commands mean. No socket, no disk, no clock of its own."""
