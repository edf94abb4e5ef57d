"""How far the service scales: trials, claims, lists, connections, and nodes by simulation."""
