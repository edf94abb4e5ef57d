"""How long a trial takes, by Luthier and by what it would be done with otherwise."""
