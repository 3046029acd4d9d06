import pytest

pytest.register_assert_rewrite("tests.property.laws")  # what failed there is explained as in a test
