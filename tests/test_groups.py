"""What tests share is made once, not once a worker: the tests of a group run in one worker."""

import pytest


def test_groups_are_kept(request):
    """pytest-xdist puts the group behind the name of a test; where it cannot, it splits groups without a word."""
    if not request.config.getoption("loadgroup", False):
        pytest.skip("tests are grouped by pytest -n 2 --dist loadgroup")
    grouped = [item for item in request.session.items if item.get_closest_marker("xdist_group")]
    assert [item.nodeid for item in grouped if "@" not in item.nodeid] == []
