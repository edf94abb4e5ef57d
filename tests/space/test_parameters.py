import pytest

from models.space.parameters import Boolean, Choice, Fixed, Float, Int


def test_a_stepped_range_keeps_its_last_value_and_plain_decimals():
    # Keras Tuner stops at 0.4 here: 0.5 // 0.1 is 4.0.
    assert Float(0.0, 0.5, 0.1).options() == (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
    assert Float(0.0, 0.95, 0.3).options() == (0.0, 0.3, 0.6, 0.9)
    assert Float(0.001, 10.0, 10.0, "log").options() == (0.001, 0.01, 0.1, 1.0, 10.0)


def test_whole_numbers_with_and_without_a_step():
    assert Int(2, 5).options() == (2, 3, 4, 5)
    assert Int(6, 13, 3).options() == (6, 9, 12)
    assert Int(2, 33, 2, "log").options() == (2, 4, 8, 16, 32)
    assert Int(2, 4, None, "log").options() == (2, 3, 4)


def test_a_continuous_range_has_no_options_unless_it_is_one_value():
    assert Float(0.0, 1.0).options() is None
    assert Float(0.5, 0.5).options() == (0.5,)


def test_a_grid_takes_every_step_but_only_some_points_of_an_open_range():
    assert Float(0.0, 1.0).points(5) == (0.0, 0.25, 0.5, 0.75, 1.0)
    assert Float(1e-4, 1e-2, None, "log").points(3) == (1e-4, 1e-3, 1e-2)
    assert Float(0.0, 1.0).points(1) == (0.5,)
    assert Float(0.0, 0.5, 0.1).points(2) == (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
    assert Int(1, 4).points(5) == (1, 2, 3, 4)
    assert Int(0, 100).points(3) == (0, 50, 100)
    assert Int(0, 100, 50).points(2) == (0, 50, 100)
    assert Int(1, 1000, None, "log").points(4) == (1, 10, 100, 1000)
    assert Choice(("a", "b")).points(1) == ("a", "b")
    assert Boolean().points(1) == (False, True)


@pytest.mark.parametrize(
    ("parameter", "value", "expected"),
    [
        (Float(0.0, 0.5, 0.1), 0.1 + 0.2, 0.3),
        (Float(0.0, 0.5, 0.1), 0.25, None),
        (Float(0.0, 0.5, 0.1), 0.6, None),
        (Float(0.0, 0.5), 0.25, 0.25),
        (Float(0.0, 0.5), 0.51, None),
        (Float(0.0, 1.0), True, None),
        (Float(1e-4, 1e-2, 10.0, "log"), 0.001, 0.001),
        (Float(1e-4, 1e-2, 10.0, "log"), -1.0, None),
        (Int(2, 8, 2), 4, 4),
        (Int(2, 8, 2), 5, None),
        (Int(0, 8), True, None),
        (Choice((32, 64)), 64, 64),
        (Choice((0, 1)), True, None),
        (Choice(("a",)), "b", None),
        (Boolean(), True, True),
        (Boolean(), 1, None),
        (Fixed(3), 3, 3),
    ],
)
def test_a_value_is_taken_only_where_the_parameter_has_it(parameter, value, expected):
    taken = parameter.canonical(value)
    assert taken == expected
    assert type(taken) is type(expected)
