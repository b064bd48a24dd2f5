"""Registration of any two volumes.

`register` does everything: an automatic start, rigid and affine alignment, a global discrete search, and a
diffeomorphic refinement, all on modality-independent features. The stages live in files of these names.
"""

from .pipeline import register
from .result import Registration
from .session import RegistrationSession
from .settings import PRESETS, Settings

__all__ = ["PRESETS", "Registration", "RegistrationSession", "Settings", "register"]
