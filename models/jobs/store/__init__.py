"""Jobs and trials in the database: the queue, units of work and events."""
