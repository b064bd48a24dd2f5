from SynthFoundationLib.pretraining.schedule import SETTLING, Length


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


def done(seconds_a_step, minutes, steps, start=0, waits=90.0):
    """Steps until the training ends, and its end by the clock."""
    clock = Clock()
    length, step = Length(steps, minutes, clock), start
    clock.now += waits
    while step < length.steps:
        clock.now += seconds_a_step
        step += 1
        length.steps = length.measured(step)
    return step, clock.now - 1000.0


def test_a_training_by_the_clock_ends_in_time_whatever_its_pace():
    for pace in (0.05, 0.4, 2.0):
        step, seconds = done(pace, 10, 10**6)
        assert abs(step - 510 / pace) <= 2
        assert 600 - 2 * pace <= seconds <= 600 + pace


def test_it_never_does_more_steps_than_asked_for():
    step, seconds = done(0.1, 10, 300)
    assert step == 300
    assert seconds < 121
    assert done(0.1, 10, 300, start=290)[0] == 300


def test_without_a_length_in_minutes_all_steps_are_done():
    assert done(30.0, 0, 300)[0] == 300


def test_a_pace_too_slow_to_be_measured_still_ends():
    step, seconds = done(30.0, 10, 10**6)
    assert step < SETTLING
    assert 600 <= seconds <= 630
