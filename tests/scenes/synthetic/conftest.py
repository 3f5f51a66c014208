"""The first 3,000 pictures of a stream, small, drawn once."""

import pytest

from zeroscene.scenes.synthetic.stream import Lesson, lesson


@pytest.fixture(scope="session")
def lessons() -> list[Lesson]:
    return [lesson(11, index, 24) for index in range(3000)]
