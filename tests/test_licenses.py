"""The licences of all that the images contain are known and allowed."""

import pytest

from tests.licenses import licenses, locked, refused


def test_every_package_of_the_images_may_be_used() -> None:
    found = licenses()
    assert len(found) == len(locked()) > 80
    assert sum(not told for told in found.values()) < 30  # those of the GPU are not installed
    assert {name: parts for name, told in found.items() if (parts := refused(name, told))} == {}


@pytest.mark.parametrize("told", ["AGPL-3.0-only", "MIT AND GPL-2.0-only", "", "UNKNOWN", "Other"])
def test_a_license_that_is_not_on_the_list_is_refused(told: str) -> None:
    assert refused("something", told)


def test_a_choice_of_allowed_licenses_is_allowed() -> None:
    assert refused("something", "(MIT OR Apache-2.0) AND BSD License") == set()
