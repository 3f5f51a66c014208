"""`python -m zeroscene` is the command line."""

from zeroscene.cli.main import run

run()
