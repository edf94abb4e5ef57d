"""`python -m luthier`."""

from luthier.cli import main

main(prog_name="luthier")
