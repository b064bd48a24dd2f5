import json

import numpy as np
import pytest

from SynthFoundationLib.errors import InputError
from SynthFoundationLib.points import Points, as_points, pair_points, read_points, write_points

LPS = np.array([[10.5, -20.25, 30.0], [-1.5, 0.0, 7.125]])
RAS = LPS * (-1, -1, 1)
NAMES = ("left, upper", "tip")


def markups(system, positions, **more):
    points = [{"label": n, "position": list(p)} | more for n, p in zip(NAMES, positions, strict=True)]
    return json.dumps(
        {"markups": [{"type": "Fiducial", "coordinateSystem": system, "controlPoints": points}]}
    )


def fcsv(header, rows):
    return "\n".join(["# Markups fiducial file version = 4.11", *header, *rows])


def old_row(number, position, name):
    return ",".join(map(str, [f"id{number}", *position, 0, 0, 0, 1, 1, 1, 0, f'"{name}"', "", ""]))


def old_rows(positions):
    return [old_row(n, p, name) for n, (p, name) in enumerate(zip(positions, NAMES, strict=True))]


def table(header, positions):
    return "\n".join(
        header + [f'"{n}",' + ",".join(map(str, p)) for n, p in zip(NAMES, positions, strict=True)]
    )


FILES = {
    "lps.mrk.json": markups("LPS", LPS),
    "ras.mrk.json": markups("RAS", RAS),
    "defined.json": markups("LPS", LPS, positionStatus="defined"),
    "new.fcsv": fcsv(["# CoordinateSystem = LPS"], old_rows(LPS)),
    "ras.fcsv": fcsv(["# CoordinateSystem = RAS"], old_rows(RAS)),
    "old.fcsv": fcsv(["# CoordinateSystem = 0"], old_rows(RAS)),
    "silent.fcsv": fcsv([], old_rows(RAS)),
    "columns.fcsv": fcsv(["# columns = label,x,y,z"], table([], RAS).split("\n")),
    "named.csv": table(["label,x,y,z"], LPS),
    "capitals.csv": "\ufeff" + table(["Label, X, Y, Z"], LPS),
    "name.csv": table(["Name,X,Y,Z"], LPS),
    "slicer.csv": table(["label,r,a,s"], RAS),
    "bare.csv": table([], LPS),
}


@pytest.mark.parametrize("name", FILES)
def test_every_kind_of_file_gives_the_same_lps_points(tmp_path, name):
    (tmp_path / name).write_text(FILES[name], encoding="utf-8")
    points = read_points(tmp_path / name)
    np.testing.assert_array_equal(points.positions, LPS)
    assert points.labels == NAMES


def test_a_bare_table_needs_no_labels(tmp_path):
    (tmp_path / "bare.csv").write_text("1,2,3\n4,5,6\n")
    points = read_points(tmp_path / "bare.csv")
    np.testing.assert_array_equal(points.positions, [[1, 2, 3], [4, 5, 6]])
    assert points.labels == ("", "")


@pytest.mark.parametrize("name", ["points.mrk.json", "points.fcsv", "points.csv"])
def test_what_is_written_is_read_back_to_the_last_bit(tmp_path, name):
    points = Points(LPS * np.pi, NAMES)
    write_points(points, tmp_path / name)
    again = read_points(tmp_path / name)
    np.testing.assert_array_equal(again.positions, points.positions)
    assert again.labels == NAMES


def test_markups_without_a_position_are_left_out(tmp_path):
    content = json.loads(FILES["lps.mrk.json"])
    content["markups"][0]["controlPoints"].append({"label": "later", "positionStatus": "undefined"})
    (tmp_path / "points.mrk.json").write_text(json.dumps(content))
    assert len(read_points(tmp_path / "points.mrk.json")) == 2


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.mrk.json", "", "does not hold points"),
        ("a.mrk.json", "[1, 2]", "does not hold points"),
        ("a.mrk.json", '{"markups": []}', "0 coordinate systems"),
        ("a.mrk.json", '{"markups": [{}]}', "no points"),
        ("a.mrk.json", markups("IJK", LPS), "points in IJK"),
        ("a.mrk.json", markups("LPS", [[1, 2], [3, 4]]), "does not hold points"),
        ("a.mrk.json", markups("LPS", [[1, 2, 3], [4, 5]]), "does not hold points"),
        ("a.fcsv", "# Markups fiducial file version = 4.11", "no points"),
        ("a.fcsv", fcsv(["# CoordinateSystem = 2"], old_rows(LPS)), "points in 2"),
        ("a.fcsv", fcsv([], ["1,2"]), "does not hold points"),
        ("a.csv", "", "no points"),
        ("a.csv", "a,b,c\n1,2,3", "does not hold points"),
        ("a.csv", "1,2,3\n4,nan,6", "point 2"),
        ("a.csv", "1,2,inf", "point 1"),
        ("a.csv", "1,2", "does not hold points"),
        ("a.txt", "1,2,3", "not a point file"),
    ],
)
def test_what_holds_no_points_is_refused_by_name(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=message) as refusal:
        read_points(tmp_path / name)
    assert name in str(refusal.value)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        read_points(tmp_path / "points.csv")


def test_arrays_are_points_and_other_things_are_not():
    np.testing.assert_array_equal(as_points(LPS.tolist()).positions, LPS)
    for wrong in (np.zeros(3), np.zeros((0, 3)), object(), None, ["a"]):
        with pytest.raises(InputError, match="the moving landmarks"):
            as_points(wrong, "the moving landmarks")


def test_landmarks_are_paired_by_label():
    fixed, moving, labels = pair_points(Points(LPS, NAMES), Points(LPS[::-1] + 1, NAMES[::-1]))
    np.testing.assert_array_equal(moving, fixed + 1)
    assert labels == NAMES


@pytest.mark.parametrize(
    ("first", "second"), [((), ()), (NAMES, ()), (("a", "a"), ("b", "a")), (NAMES, ("a", "b"))]
)
def test_landmarks_without_common_labels_are_paired_in_order(first, second):
    fixed, moving, _ = pair_points(Points(LPS, first), Points(LPS + 1, second))
    np.testing.assert_array_equal(moving, fixed + 1)


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (("a", "b"), ("a",), "'b' is on one side"),
        (("a", "b"), ("a", "c"), "'b' is on"),
        ((), ("x",), "2 fixed and 1"),
    ],
)
def test_landmarks_without_a_partner_are_refused(first, second, message):
    with pytest.raises(InputError, match=message):
        pair_points(Points(LPS, first), Points(LPS[: len(second)], second))


def test_landmarks_at_one_place_are_refused():
    points = Points(np.array([[1.0, 2, 3], [4, 5, 6], [1, 2, 3]]))
    apart = Points(np.arange(9.0).reshape(3, 3))
    with pytest.raises(InputError, match="fixed landmarks 1 and 3 lie at the same place"):
        pair_points(points, apart)
    with pytest.raises(InputError, match="moving landmarks 1 and 3"):
        pair_points(apart, points)
