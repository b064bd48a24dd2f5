"""Points and landmarks: Slicer markups (.mrk.json), fiducial lists (.fcsv) and tables (.csv), as LPS mm."""

from .pairs import pair_points
from .points import Points, PointsLike, as_points
from .reading import read_points
from .writing import write_points

__all__ = ["Points", "PointsLike", "as_points", "pair_points", "read_points", "write_points"]
