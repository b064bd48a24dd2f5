"""Every way in which this library says no.

A message says in one line what was given, what is allowed and what to do; a caller shows it as it is.
"""


class SynthFoundationError(Exception):
    """Base of all errors that a user can act upon; `exit_code` is what the command line ends with."""

    exit_code = 1


class InputError(SynthFoundationError, ValueError):
    """An image, label map, transform, landmark file or option cannot be used as it is."""

    exit_code = 2


class WeightsError(SynthFoundationError):
    """Weights are missing, damaged, of another architecture or not what their checksum promises."""

    exit_code = 3


class DeviceError(SynthFoundationError):
    """The device asked for is not there or has too little memory."""

    exit_code = 3


class Cancelled(SynthFoundationError):
    """The user asked to stop."""

    exit_code = 130
