# ruff: noqa: E501  (the lines that users see stand here whole)
"""The table of bad input: what is given, and what must come of it.

Run as a program this writes docs/bad-input.md; `test_bad_input.py` runs every row and compares.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "bad-input.md"
IMAGES = "NIfTI (.nii, .nii.gz), NRRD (.nrrd), MetaImage (.mha, .mhd) or a folder with one DICOM series"
POINTS = ".mrk.json (Slicer markups), .fcsv (Slicer fiducials) or .csv (x, y, z in LPS mm)"
TRANSFORMS = ".h5, .tfm, .txt, .mat, .xfm and displacement field images"
VOLUMES = ".nii, .nii.gz, .nrrd, .mha"


@dataclass(frozen=True)
class Row:
    """What is given, the command line, its exit code, the line it says, and the files it leaves."""

    given: str
    command: str
    code: int
    says: str
    leaves: tuple[str, ...] = ()
    locked: str = ""  # a folder that may not be written to
    busy: str = ""  # a folder to which another run writes
    slow: bool = False
    registry: str = ""  # a folder with a registry of weights, in place of the installed one

    @property
    def left(self) -> str:
        """For the page."""
        return ", ".join(f"`{name}`" for name in self.leaves) or "nothing"


def _refused(given: str, command: str, says: str, code: int = 2) -> Row:
    return Row(given, command, code, says)


def _fixed(given: str, file: str, says: str) -> Row:
    return _refused(given, f"register {file} good.nii.gz -o out", says)


def _used(given: str, file: str) -> Row:
    return Row(given, f"features {file} -o f.nrrd", 0, "Wrote f.nrrd", ("f.nrrd",))


def _pair(given: str, options: str, says: str, code: int = 2) -> Row:
    return _refused(given, f"register good.nii.gz other.nii.gz -o out {options}", says, code)


def _apply(given: str, options: str, says: str) -> Row:
    return _refused(given, f"apply good.nii.gz {options}", says)


def _segment(given: str, options: str, says: str, code: int = 2) -> Row:
    return _refused(given, f"segment good.nii.gz {options}", says, code)


_DAMAGED = "is damaged: its header or its compressed data cannot be read; copy or export it again"
_POSITIVE = "spacing must be positive and finite: repair the header"
_SHEARED = "has a sheared or singular direction matrix; resample it to a regular grid, or repair the header"
_NO_LABELS = "holds values that are not whole numbers; give labels, not intensities or probabilities"
_SERIES = "the DICOM series in"
_TENSORS = "holds more than tensors; only plain state dicts are read, because other contents could run code."
_OVERWRITES = "would overwrite {}, which is given; choose another name or folder"
_FOLD = "fold or tear; give the file of the inverse transform instead"

SECTIONS: dict[str, list[Row]] = {
    "Files": [
        _fixed("a file that is not there", "none.nii.gz", f"none.nii.gz does not exist; give {IMAGES}"),
        _fixed("0 bytes", "empty.nii.gz", "empty.nii.gz is empty (0 bytes); copy or export it again"),
        _fixed("the first half of a file", "truncated.nii.gz", f"truncated.nii.gz {_DAMAGED}"),
        _fixed("a corrupted gzip file", "corrupted.nii.gz", f"corrupted.nii.gz {_DAMAGED}"),
        _fixed(
            "two thirds of an uncompressed file",
            "short.nii",
            "short.nii is truncated: its header promises 11,872 bytes, the file holds 7,914; copy or export it again",
        ),
        _fixed(
            "a header of 1,000³ voxels without data",
            "promise.nii",
            "promise.nii is truncated: its header promises 2,000,000,352 bytes, the file holds 11,872; "
            "copy or export it again",
        ),
        _fixed(
            "text named .nii", "text.nii", f"text.nii is not an image that can be read; allowed are {IMAGES}"
        ),
        _fixed(
            "text named .nii.gz",
            "text.nii.gz",
            f"text.nii.gz is not an image that can be read; allowed are {IMAGES}",
        ),
        _fixed(
            "another kind of file",
            "photo.xyz",
            f"photo.xyz is not an image that can be read; allowed are {IMAGES}",
        ),
        _fixed(
            "a folder that is empty or without DICOM",
            "nodicom",
            "nodicom is a folder without a DICOM series; give an image file or a DICOM folder",
        ),
    ],
    "DICOM": [
        _used("a folder with one series", "series"),
        _fixed(
            "a folder with two series",
            "twoseries",
            "twoseries holds 2 DICOM series (of 8, 5 files); give a folder with the one series you want",
        ),
        _fixed(
            "missing slices",
            "missingslices",
            f"{_SERIES} missingslices has slices 2.00 to 6.00 mm apart; slices are missing or uneven: "
            "export it complete, or resample it to even slices",
        ),
        _fixed(
            "two slices at one place",
            "doubled",
            f"{_SERIES} doubled has several slices at one place (a time series?); export one volume of it",
        ),
        _fixed(
            "a tilted gantry",
            "tilted",
            f"{_SERIES} tilted was taken with a tilted gantry, its slices are shifted sideways; "
            "resample it to a regular grid first (in Slicer: 'Acquisition Transform')",
        ),
        _fixed(
            "a slice that ends early",
            "damaged",
            f"{_SERIES} damaged holds a slice that cannot be read: a file is damaged or truncated; "
            "copy or export the series again",
        ),
        _fixed(
            "one file of a series",
            "series/s1-03.dcm",
            "s1-03.dcm is one DICOM slice; give the folder that holds its series",
        ),
    ],
    "Volumes": [
        _fixed(
            "2-D",
            "flat.nii.gz",
            "flat.nii.gz is 2-D (20×18); give one 3-D volume: extract one frame, or stack slices",
        ),
        _fixed(
            "4-D",
            "frames.nii.gz",
            "frames.nii.gz is 4-D (20×18×16×3); give one 3-D volume: extract one frame, or stack slices",
        ),
        _fixed(
            "colours",
            "colours.nrrd",
            "colours.nrrd has 3 values per voxel (colour or vector); give one value per voxel: "
            "convert it to grey or extract one component",
        ),
        _fixed(
            "one slice",
            "oneslice.nii.gz",
            "oneslice.nii.gz has 20×18×1 voxels; a volume needs at least 4 along each axis",
        ),
        _fixed(
            "one voxel",
            "onevoxel.nii.gz",
            "onevoxel.nii.gz has 1×1×1 voxels; a volume needs at least 4 along each axis",
        ),
        _used("20×18×16 voxels", "good.nii.gz"),
        _fixed(
            "the same value everywhere",
            "constant.nii.gz",
            "constant.nii.gz is constant (every voxel is 7); give an image with structure",
        ),
        _fixed(
            "0 everywhere",
            "zero.nii.gz",
            "zero.nii.gz is constant (every voxel is 0); give an image with structure",
        ),
        _fixed(
            "NaN",
            "nan.nii.gz",
            "nan.nii.gz has 1 voxel that is NaN or infinite; replace them, for example by 0",
        ),
        _fixed(
            "infinity",
            "infinite.nii.gz",
            "infinite.nii.gz has 1 voxel that is NaN or infinite; replace them, for example by 0",
        ),
        _fixed(
            "1e38",
            "beyond.nii.gz",
            "beyond.nii.gz has 1 voxel that is NaN, infinite or beyond ±1e+31; replace them, for example by 0",
        ),
        _used("1e30", "huge.nii.gz"),
        _used("values below 0", "negative.nii.gz"),
        _used("uint8", "uint8.nii.gz"),
        _used("int16", "good.nii.gz"),
        _used("uint32", "uint32.nii.gz"),
        _used("float64", "float64.nii.gz"),
    ],
    "Headers": [
        _fixed(
            "a spacing of 0", "nospacing.nii", f"nospacing.nii has voxels of 0 × 1.2 × 1.5 mm; {_POSITIVE}"
        ),
        _fixed(
            "a spacing below 0",
            "negspacing.nii",
            f"negspacing.nii has voxels of -1 × 1.2 × 1.5 mm; {_POSITIVE}",
        ),
        _fixed("shear", "sheared.nii", f"sheared.nii {_SHEARED}"),
        _fixed(
            "axes that are not perpendicular",
            "sheared.nrrd",
            "sheared.nrrd: the image axes are not perpendicular unit vectors (off by 0.447); sheared or singular "
            "headers are not supported: resample the image to a regular grid first",
        ),
        _fixed("a singular direction", "singular.nii", f"singular.nii {_SHEARED}"),
        _fixed(
            "shear in the sform, beside a qform without", "shearedsform.nii", f"shearedsform.nii {_SHEARED}"
        ),
        _used("an sform of code 1 that differs from the qform (the sform is used)", "twoforms.nii"),
        _used("one of another code (the qform is used, as ITK and 3D Slicer do)", "aligned.nii"),
    ],
    "Masks and labels": [
        Row(
            "images that do not overlap in space (a start is found automatically)",
            "register good.nii.gz far.nii.gz -o out --transform rigid --features mind",
            0,
            "Wrote out: see out/report.html",
            ("inverse.h5", "moved.nii.gz", "report.html", "report.json", "transform.h5"),
            slow=True,
        ),
        _pair(
            "a mask that marks nothing",
            "--fixed-mask nothing.nii.gz",
            "the fixed mask is empty: no voxel is marked; mark the region to use, or leave the mask out",
        ),
        _pair(
            "a mask that lies elsewhere",
            "--fixed-mask farseeds.nii.gz",
            "the mask of the fixed image is empty inside the image; draw it where the images are to be aligned",
        ),
        Row(
            "a mask that is inverted (it is taken at its word)",
            "register good.nii.gz other.nii.gz -o out --fixed-mask inverted.nii.gz --initial-transform shift.h5 "
            "--transform rigid --features mind",
            0,
            "Wrote out: see out/report.html",
            ("inverse.h5", "moved.nii.gz", "report.html", "report.json", "transform.h5"),
        ),
        _pair("a mask of probabilities", "--fixed-mask fractions.nii.gz", f"fractions.nii.gz {_NO_LABELS}"),
        _pair("intensities as labels", "--moving-labels fractions.nii.gz", f"fractions.nii.gz {_NO_LABELS}"),
        _pair(
            "labels below 0",
            "--moving-labels neglabels.nii.gz",
            "neglabels.nii.gz holds values from -1 to 1; labels must lie between 0 and 65,535",
        ),
        _pair(
            "labels above 65,535",
            "--moving-labels manylabels.nii.gz",
            "manylabels.nii.gz holds values from 0 to 80000; labels must lie between 0 and 65,535",
        ),
        _segment(
            "seeds without a label",
            "nothing.nii.gz -o labels.nii.gz",
            "the seeds are empty: label at least one voxel of a structure",
        ),
        _segment(
            "seeds outside the scan",
            "farseeds.nii.gz -o labels.nii.gz",
            "the seeds lie outside the image or are too small for its voxels; check that both come from the same scan",
        ),
        _segment(
            "a draft that nobody corrected",
            "seeds.nii.gz --draft seeds.nii.gz -o labels.nii.gz",
            "the seeds are the draft as it is: correct it in at least one slice",
        ),
        _segment(
            "a draft without a label",
            "seeds.nii.gz --draft nothing.nii.gz -o labels.nii.gz",
            "the draft is empty: give a segmentation with at least one labelled voxel",
        ),
        _segment(
            "a draft of another scan",
            "seeds.nii.gz --draft farseeds.nii.gz -o labels.nii.gz",
            "the labels of the draft lie outside the image or are too small for its voxels; "
            "check that both come from the same scan",
        ),
        _segment(
            "probabilities as seeds", "fractions.nii.gz -o labels.nii.gz", f"fractions.nii.gz {_NO_LABELS}"
        ),
        _segment(
            "a scan of colours",
            "colours.nrrd -o labels.nii.gz",
            "colours.nrrd has 3 values per voxel (colour or vector); give one value per voxel: "
            "convert it to grey or extract one component",
        ),
        _segment(
            "a label for the background that no seed has",
            "seeds.nii.gz -o labels.nii.gz --background 9",
            "--background is 9, the seeds have labels 1, 2; give one of these",
        ),
        _refused(
            "contrasts that do not overlap",
            "features good.nii.gz far.nii.gz -o f.nrrd",
            "contrast 2 of the image does not overlap the first in space; give aligned scans of one person",
        ),
        Row(
            "seeds on another grid (taken to the nearest voxels)",
            "segment good.nii.gz shiftedseeds.nii.gz -o labels.nii.gz --features none",
            0,
            "Wrote labels.nii.gz",
            ("labels.nii.gz",),
        ),
    ],
    "Landmarks and points": [
        _pair(
            "landmarks for one scan only",
            "--fixed-landmarks three.csv",
            "landmarks are given for one image only; give the same places in the other, too",
        ),
        _pair(
            "three landmarks against two",
            "--fixed-landmarks three.csv --moving-landmarks two.csv",
            "3 fixed and 2 moving landmarks cannot be paired; give both sides the same labels or the same number "
            "in the same order",
        ),
        Row(
            "landmarks on a line (used; they leave a turn about it open)",
            "register good.nii.gz other.nii.gz -o out --fixed-landmarks line.csv --moving-landmarks line.csv "
            "--initial-transform shift.h5 --transform rigid --features mind",
            0,
            "Wrote out: see out/report.html",
            ("inverse.h5", "moved.nii.gz", "report.html", "report.json", "transform.h5"),
        ),
        _pair(
            "a landmark far outside its image",
            "--fixed-landmarks outside.csv --moving-landmarks three.csv",
            "fixed landmark 3 lies 8,980 mm outside the fixed image; place it in this image, in mm along left, "
            "posterior, superior (LPS)",
        ),
        _pair(
            "landmarks at one place",
            "--fixed-landmarks doubled.csv --moving-landmarks three.csv",
            "fixed landmarks 1 and 2 lie at the same place; remove one of them",
        ),
        _pair(
            "NaN",
            "--fixed-landmarks nan.csv --moving-landmarks two.csv",
            "nan.csv: point 2 has a coordinate that is not a finite number; place it again",
        ),
        _pair(
            "words instead of numbers",
            "--moving-points words.csv",
            f"words.csv does not hold points as .csv files do; give {POINTS}",
        ),
        _pair(
            "a file without points",
            "--moving-points nopoints.csv",
            "nopoints.csv: there are no points; place at least one",
        ),
        _pair(
            "broken JSON",
            "--moving-points broken.mrk.json",
            f"broken.mrk.json does not hold points as .json files do; give {POINTS}",
        ),
        _pair(
            "another kind of file",
            "--moving-points photo.xyz",
            f"photo.xyz is not a point file; give {POINTS}",
        ),
    ],
    "Transforms": [
        _pair(
            "a transform that is not there",
            "--initial-transform none.h5",
            "transform file none.h5 does not exist; give an ITK transform such as transform.h5",
        ),
        _apply(
            "text named .h5",
            "-t text.h5 -r other.nii.gz -o moved.nii.gz",
            f"text.h5 is not a transform that ITK can read; allowed are {TRANSFORMS}",
        ),
        _apply(
            "the first half of a file",
            "-t truncated.h5 -r other.nii.gz -o moved.nii.gz",
            f"truncated.h5 is not a transform that ITK can read; allowed are {TRANSFORMS}",
        ),
        _apply(
            "a transform of a kind that has no counterpart here",
            "-t spline.tfm -r other.nii.gz -o moved.nii.gz",
            f"spline.tfm is not a transform that ITK can read; allowed are {TRANSFORMS}",
        ),
        _apply(
            "a folder",
            "-t nodicom -r other.nii.gz -o moved.nii.gz",
            "transform file nodicom does not exist; give an ITK transform such as transform.h5",
        ),
        _apply(
            "a 2-D transform",
            "-t plane.h5 -r other.nii.gz -o moved.nii.gz",
            "plane.h5: the transform is 2-D; only 3-D transforms can be used",
        ),
        _apply(
            "a scan",
            "-t good.nii.gz -r other.nii.gz -o moved.nii.gz",
            "good.nii.gz: a displacement field needs 3 dimensions and 3 components per voxel; got 3 and 1",
        ),
        _apply(
            "a field with NaN",
            "-t nanfield.nrrd -r other.nii.gz -o moved.nii.gz",
            "nanfield.nrrd: the displacement field holds values that are not finite or no distances in mm; it cannot be used",
        ),
        _apply(
            "the inverse of a singular matrix",
            "-t inverse:singular.tfm -r other.nii.gz -o moved.nii.gz",
            "the affine transform has no inverse: its matrix is singular",
        ),
        _apply(
            "the inverse of a field that folds",
            "-t inverse:folded.nrrd -r other.nii.gz -o moved.nii.gz",
            f"the displacement field has no inverse: 100 % of its voxels {_FOLD}",
        ),
        _apply(
            "no reference",
            "-t shift.h5 -o moved.nii.gz",
            "an image needs --reference: the fixed image, on whose grid the result shall lie",
        ),
    ],
    "Weights and devices": [
        _pair(
            "an unknown name",
            "--weights nosuch",
            "There are no weights 'nosuch'. Registered: synthfoundation-base-1. Name one of these, or give a .safetensors or .pth file.",
            3,
        ),
        _pair(
            "a file that is not there",
            "--weights none.safetensors",
            "There is no weights file none.safetensors; give a .safetensors or .pth file.",
            3,
        ),
        _pair(
            "half a file",
            "--weights cut.safetensors",
            "cut.safetensors is damaged or no safetensors file; get it again.",
            3,
        ),
        _pair(
            "a network of another kind",
            "--weights resnet.pth",
            "The tensors are not those of a U-Net of this library: no keys model.N.weight fit.",
            3,
        ),
        _pair(
            "a pickle that runs code (it does not)",
            "--weights bomb.pth",
            f"bomb.pth is damaged or {_TENSORS}",
            3,
        ),
        _refused(
            "a network for three contrasts",
            "features good.nii.gz -o f.nrrd --features learned --weights threechannels.safetensors",
            "Weights 'threechannels.safetensors' take 3 contrasts; the image has 1.",
        ),
        Row(
            "installed weights that were changed (they are checked at each load)",
            "register good.nii.gz other.nii.gz -o out --weights small",
            3,
            "small.safetensors is not the registered file of 'small': its SHA-256 is {changed}, not {registered}. "
            "Delete it and get it again.",
            registry="changed",
        ),
        _pair(
            "a pickle named .safetensors",
            "--weights bomb.safetensors",
            "bomb.safetensors is damaged or no safetensors file; get it again.",
            3,
        ),
        _pair(
            "a folder",
            "--weights nodicom",
            "There are no weights 'nodicom'. Registered: synthfoundation-base-1. Name one of these, or give a .safetensors or .pth file.",
            3,
        ),
        _pair(
            "a GPU that is not there",
            "--device cuda",
            "device cuda is not available; available here: auto, cpu",
            3,
        ),
    ],
    "Places for results": [
        _refused(
            "a file as the folder",
            "register good.nii.gz other.nii.gz -o afile",
            "afile is a file; the output must be a folder",
        ),
        _refused(
            "where no folder can be made",
            "register good.nii.gz other.nii.gz -o afile/below",
            "cannot make the output folder below: Not a directory; choose another",
        ),
        Row(
            "a folder that is write-protected",
            "register good.nii.gz other.nii.gz -o results",
            2,
            "cannot write to the output folder results; choose one that you may write to",
            locked="results",
        ),
        Row(
            "a folder to which another run writes",
            "register good.nii.gz other.nii.gz -o results",
            2,
            "another run is writing to results; wait for it, or choose another folder",
            busy="results",
        ),
        Row(
            "a file in a folder that is write-protected",
            "apply good.nii.gz -t shift.h5 -r other.nii.gz -o results/moved.nii.gz",
            2,
            "cannot write moved.nii.gz: its folder is write-protected; choose another",
            locked="results",
        ),
        _refused(
            "a model that exists",
            "finetune --images images --labels labels -o network.safetensors",
            "network.safetensors exists; resume it, or choose another name",
        ),
        _apply(
            "a scan in the place of the result",
            "-t shift.h5 -r other.nii.gz -o good.nii.gz",
            f"the result good.nii.gz {_OVERWRITES.format('good.nii.gz')}",
        ),
        _refused(
            "results of an earlier run as what is to be registered anew",
            "register good.nii.gz results/moved.nii.gz -o results",
            f"the result moved.nii.gz {_OVERWRITES.format('moved.nii.gz')}",
        ),
        _refused(
            "label maps called as their scans, beside them",
            "predict network.safetensors images -o images",
            f"the result a.nii.gz {_OVERWRITES.format('a.nii.gz')}",
        ),
        _segment(
            "two results of one name",
            "seeds.nii.gz -o labels.nii.gz --confidence labels.nii.gz",
            "labels.nii.gz is named for two results; choose another name for one of them",
        ),
        _refused(
            "an image named as a segmentation",
            "features good.nii.gz -o f.seg.nrrd",
            "f.seg.nrrd would be a segmentation, not an image; choose another ending",
        ),
        _apply(
            "an ending that is half in capitals",
            "-t shift.h5 -r other.nii.gz -o moved.nii.GZ",
            f"cannot write moved.nii.GZ: allowed are {VOLUMES}",
        ),
        _apply(
            "a folder that is missing",
            "-t shift.h5 -r other.nii.gz -o nowhere/moved.nii.gz",
            "cannot write moved.nii.gz: its folder does not exist; create it or choose another",
        ),
        _apply(
            "a folder as the file",
            "-t shift.h5 -r other.nii.gz -o folder.nrrd",
            "cannot write folder.nrrd: it is a folder; give a file name",
        ),
        _apply(
            "another kind of file",
            "-t shift.h5 -r other.nii.gz -o moved.png",
            f"cannot write moved.png: allowed are {VOLUMES}",
        ),
    ],
    "Options": [
        _refused(
            "no output",
            "register good.nii.gz other.nii.gz",
            "Missing option '--output' / '-o'; `synthfoundation register --help` tells what is allowed",
        ),
        _pair(
            "an unknown choice",
            "--preset slow",
            "Invalid value for '--preset': 'slow' is not one of 'fast', 'default', 'accurate' (given: slow); "
            "`synthfoundation register --help` tells what is allowed",
        ),
        _pair(
            "a number out of range",
            "--seed -1",
            "Invalid value for '--seed': Input should be greater than or equal to 0 (given: -1); "
            "`synthfoundation register --help` tells what is allowed",
        ),
        _pair(
            "no number",
            "--seed abc",
            "Invalid value for '--seed': Input should be a valid integer, unable to parse string as an integer "
            "(given: abc); `synthfoundation register --help` tells what is allowed",
        ),
        _pair(
            "a number too large",
            "--seed 99999999999999999999",
            "Invalid value for '--seed': Input should be less than or equal to 2147483647 "
            "(given: 99999999999999999999); `synthfoundation register --help` tells what is allowed",
        ),
        _refused(
            "one file too many",
            "register good.nii.gz other.nii.gz far.nii.gz -o out",
            "Got unexpected extra argument(s) (far.nii.gz); `synthfoundation register --help` tells what is allowed",
        ),
        _apply(
            "a value that no image may have",
            "-t shift.h5 -r other.nii.gz -o moved.nii.gz --fill nan",
            "--fill is nan; give a number within ±1e+31",
        ),
        _refused(
            "an unknown verb",
            "align good.nii.gz",
            "No such command 'align'; `synthfoundation --help` tells what is allowed",
        ),
        _segment(
            "slices that do not exist",
            "seeds.nii.gz -o labels.nii.gz --complete-slices k:300",
            "complete slice 300 of axis 0 does not exist; the volume has (D, H, W) = (16, 18, 20) voxels",
        ),
        _refused(
            "less memory than is needed",
            "features good.nii.gz -o f.nrrd --features mind --spacing 0.1 --max-memory 0.1",
            "MIND at (240, 216, 200) voxels needs 0.66 GB; allowed are 0.1 GB. Allow more memory or use a larger "
            "voxel spacing.",
        ),
    ],
    "Segmenters": [
        _refused(
            "no folder",
            "finetune --images good.nii.gz --labels seeds.nii.gz -o m.safetensors",
            "good.nii.gz is no folder; give one with images and labels",
        ),
        _refused(
            "images without labels",
            "finetune --images images --labels nodicom -o m.safetensors",
            "images holds 1 images and 0 label maps, no labels for a; give each image NAME labels called NAME or "
            "NAME_labels, in folders images and labels or side by side",
        ),
        _refused(
            "labels that are empty",
            "finetune --images images --labels blank -o m.safetensors",
            "the labels are empty; at least one voxel of one label is needed",
        ),
        _refused(
            "one damaged scan of two",
            "finetune --images mixed --labels both -o m.safetensors",
            f"b.nii.gz {_DAMAGED}",
        ),
        _refused(
            "another ending",
            "finetune --images images --labels labels -o m.pth",
            "cannot write m.pth: allowed are .safetensors",
        ),
        _refused(
            "a budget below 0",
            "finetune --images images --labels labels -o m.safetensors --budget -1",
            "Invalid value for '--budget': Input should be greater than or equal to 0.01 (given: -1); "
            "`synthfoundation finetune --help` tells what is allowed",
        ),
        _refused(
            "weights to go on with that are no model",
            "finetune --images images --labels labels -o network.safetensors --resume",
            "network.safetensors is damaged or no model that finetune wrote; give one, or make it again.",
            3,
        ),
        _refused(
            "a model that is not there",
            "predict none.safetensors images -o out",
            "There is no model none.safetensors; give a .safetensors file that finetune wrote.",
            3,
        ),
        _refused(
            "a scan as the model",
            "predict good.nii.gz images -o out",
            "good.nii.gz is damaged or no model that finetune wrote; give one, or make it again.",
            3,
        ),
        _refused(
            "predictions that have other names",
            "evaluate --predictions predictions --labels labels -o out",
            "predictions has 1 label maps and labels 1, none of the same name; name predictions as the labels are named",
        ),
    ],
    "Pretraining and synthesis": [
        _refused(
            "a configuration that is not there",
            "pretrain -c none.toml -o out",
            "cannot read the configuration none.toml: No such file or directory; give a TOML file such as "
            "Resources/Configs/smoke.toml",
        ),
        _refused(
            "an unknown setting",
            "pretrain -c unknown.toml -o out",
            "the configuration unknown.toml is malformed: unknown key 'sides' in [data]; available: side, margin, pairs, "
            "accumulate, workers, render, bend, templates",
        ),
        _refused(
            "a value of another kind",
            "pretrain -c kind.toml -o out",
            "the configuration kind.toml is malformed: [data] side is 'large'; it must be of the kind of 128",
        ),
        _refused(
            "a value out of range",
            "pretrain -c range.toml -o out",
            "the configuration range.toml is malformed: [optimiser] rate is -1.0; it must be greater than 0",
        ),
        _refused(
            "another kind of file",
            "pretrain -c good.nii.gz -o out",
            "the configuration good.nii.gz is not UTF-8 text; give TOML",
        ),
        _refused(
            "no checkpoint",
            "export-weights nodicom -o w.safetensors",
            "nodicom is no checkpoint folder: facts.json is missing or damaged",
            3,
        ),
        _refused(
            "another ending",
            "export-weights results -o w.txt",
            "w.txt: weights are written as *.safetensors",
        ),
        _refused(
            "scans that are not aligned",
            "evaluate-features good.nii.gz far.nii.gz -o e.csv",
            "far.nii.gz and good.nii.gz lie on different grids: give aligned volumes",
        ),
        _refused(
            "one scan of a pair",
            "evaluate-features good.nii.gz -o e.csv",
            "1 scans are no pairs; give an even number: A1 B1 A2 B2 …",
        ),
        _refused(
            "templates without a label map",
            "synthesize -o out --templates nodicom",
            "nodicom holds no label map (.nii, .nii.gz, .nrrd, .mha, .mhd)",
        ),
    ],
}

INTRODUCTION = """\
# What happens with bad input

Every row is run by the tests on files made on the spot, and this page is written from the same table
(`python Testing/Trust/rows.py`). The rule: one line on the standard error that says what was given, what is allowed
and what to do; an exit code; nothing half-written. `--debug` anywhere shows the traceback.

| Exit code | Meaning |
|---|---|
| 0 | done |
| 1 | an error of the program itself; run again with `--debug` and report it. Of `pretrain` also: the training ended above the target loss that its configuration states |
| 2 | input or options that cannot be used |
| 3 | weights or device that cannot be used, or too little memory |
| 130 | stopped by the user |
| 143 | ended by the system |

A file appears whole or not at all: it is written beside its place and renamed. A folder that holds `report.html` is
complete: the page is written last, and the page of an earlier run in the same folder is removed first. What an earlier
run of `register`, `synthesize` or `evaluate` left there (the files that its `report.json` lists, its pairs, its pictures
of the worst cases) makes way. No verb writes
onto a file that it was given: it refuses before the work. What a killed run left unfinished is swept up by the next
run that writes the same file or to the same folder. A folder that was made for a run which then was refused is taken
back. While a run writes to a folder, a second one is refused.
"""


def page() -> str:
    """The page of the documentation."""
    parts = [INTRODUCTION]
    for title, rows in SECTIONS.items():
        parts.append(
            f"\n## {title}\n\n| Given | Command | The user sees | Exit code | Left behind |\n|---|---|---|---|---|\n"
        )
        parts += [
            f"| {row.given} | `{row.command}` | {_cell(row.says)} | {row.code} | {row.left} |\n"
            for row in rows
        ]
    return "".join(parts)


def _cell(text: str) -> str:
    return f"`` {text} ``" if "`" in text else f"`{text}`"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8", newline="\n")
