"""What a person needs to judge a registration: a verdict with its reasons, pictures and one page of both."""

from .html import page
from .pictures import Picture, draw
from .verdict import Verdict, judge

__all__ = ["Picture", "Verdict", "draw", "judge", "page"]
