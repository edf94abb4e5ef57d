"""Models, versions and aliases: commands, queries and answers."""
