"""The page: well-formed, closed to the outside, and safe from what names contain."""

from html.parser import HTMLParser

import numpy as np
import SimpleITK as sitk

from SynthFoundationLib.geometry import Grid
from SynthFoundationLib.report import Picture, Verdict, page
from SynthFoundationLib.report.facts import facts
from SynthFoundationLib.report.jpeg import jpeg
from SynthFoundationLib.report.pictures import Scale
from SynthFoundationLib.report.planes import three_planes

HOSTILE = "<script>alert('x')</script>\"><img src=http://example.org/x.png onerror=y>"
GRID = Grid((8, 8, 8))
PLANES = three_planes(GRID, GRID.center, pixels=8)
CUTS = tuple(np.full((8, 8, 3), 100, np.uint8) for _ in PLANES)
PICTURE = Picture(
    HOSTILE, HOSTILE, PLANES, ((HOSTILE, CUTS),), Scale((np.zeros(3), np.ones(3)), ("a", HOSTILE, "b"))
)
REPORT = {
    "stages": [{"name": HOSTILE, "seconds": 1.25}],
    "seconds": 12.5,
    "peak_memory_mb": 2048.0,
    "folds_percent": 0.0,
    "log_jacobian_sd": 0.125,
    "log_jacobian_min": -0.6931472,
    "log_jacobian_max": 0.0,
    "inverse_consistency_mm": None,
    "landmark_error_mm": {"before": 10.0, "after": 1.5},
    "similarity": {"before": 0.1, "after": 0.5},
    "overlap": 0.95,
    "header_turn_degrees": 3.0,
    "stretch": 1.0,
    "stretch_not_taken": 1.094,
    "features": [["mind", 12]],
    "weights": {"id": HOSTILE, "sha256": "0" * 64},
    "settings": {HOSTILE: HOSTILE},
    "versions": {"torch": HOSTILE},
    "labels": [{"file": HOSTILE, "label": 1, "name": HOSTILE, "ml_before": 1.0, "ml_after": 1.1}],
}


class Reader(HTMLParser):
    """Collects tags, attributes and text, and checks that what opens is closed."""

    VOID = ("meta", "img")

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.links, self.handlers, self.text = [], [], [], [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.open += [] if tag in self.VOID else [tag]
        self.links += [value for name, value in attributes if name in ("src", "href", "srcset", "action")]
        self.handlers += [name for name, _ in attributes if name.startswith("on")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def read(html):
    reader = Reader()
    reader.feed(html)
    reader.close()
    assert reader.open == []
    return reader


def test_the_page_loads_nothing_and_escapes_hostile_names():
    html = page(REPORT, Verdict("look closely", [HOSTILE]), [PICTURE])
    reader = read(html)
    assert "script" not in reader.tags
    assert reader.handlers == []
    assert reader.links
    assert all(link.startswith("data:image/jpeg;base64,") for link in reader.links)
    assert "url(" not in html
    assert "@import" not in html
    assert "".join(reader.text).count(HOSTILE) >= 6  # shown as it is written


def test_the_verdict_comes_first_then_pictures_then_numbers():
    html = page(REPORT, Verdict("failed", ["The reason."]), [PICTURE])
    places = [html.index(text) for text in ("The reason.", "data:image", "Numbers", "Stages", "Versions")]
    assert places == sorted(places)
    assert read(html).tags.count("img") == 3


def test_a_sparse_report_has_no_empty_sections():
    html = page({"seconds": 1.0}, Verdict("good", ["Fine."]), [])
    read(html)
    assert "Labels" not in html
    assert "Stages" not in html
    assert "None" not in html


def test_numbers_are_told_in_units():
    told = {fact.name: fact.value for fact in facts(REPORT)}
    assert told["Landmark error"] == "10.00 → 1.50 mm"
    assert told["Volume change"] == "0.50× … 1.00×"
    assert told["Peak memory"] == "2.0 GB"
    assert told["Size"] == "1.00× (not 1.09×)"
    assert {f.name: f.value for f in facts(REPORT | {"stretch_not_taken": None})}["Size"] == "1.00×"
    assert "Inverse consistency" not in told


def test_a_picture_survives_jpeg(tmp_path):
    row = np.linspace(0, 255, 64).astype(np.uint8)
    picture = np.repeat(np.tile(row, (32, 1))[..., None], 3, 2)
    (tmp_path / "picture.jpg").write_bytes(jpeg(picture))
    back = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "picture.jpg")))
    np.testing.assert_allclose(back.astype(int), picture.astype(int), atol=6)
