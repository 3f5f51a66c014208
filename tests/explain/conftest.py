"""The fixture of all tests of explanations."""

import pytest
from explain_world import World, build


@pytest.fixture(scope="session")
def world() -> World:
    """Return the small drawn world with its fitted DSVA; not to be changed."""
    return build()
