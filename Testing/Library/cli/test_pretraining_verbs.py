from typer.testing import CliRunner

from SynthFoundationLib.cli.app import app
from SynthFoundationLib.images import read_image, read_labels


def invoke(*arguments):
    return CliRunner().invoke(app, list(map(str, arguments)))


def test_synthesize_writes_pairs_that_can_be_read_and_a_sheet(tmp_path):
    result = invoke("synthesize", "-n", 2, "--size", 32, "-o", tmp_path, "--device", "cpu")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "sheet.png").stat().st_size > 0
    for n in range(2):
        view, labels = (
            read_image(tmp_path / f"{n:04d}_view1.nii.gz"),
            read_labels(tmp_path / f"{n:04d}_labels.nii.gz"),
        )
        assert view.grid.size == labels.grid.size == (32, 32, 32)


def test_features_are_evaluated_on_pairs_only(tmp_path):
    assert "even number" in invoke("evaluate-features", tmp_path / "alone.nii").stderr
    assert "nothing to evaluate" in invoke("evaluate-features").stderr


def test_what_cannot_be_trained_or_exported_is_one_line(tmp_path):
    for arguments in (
        ["pretrain", "-c", tmp_path / "none.toml", "-o", tmp_path / "run"],
        ["export-weights", tmp_path / "none", "-o", tmp_path / "weights.safetensors"],
    ):
        result = invoke(*arguments)
        assert result.exit_code in (2, 3)
        assert result.stderr.startswith("Error: ")
        assert len(result.stderr.splitlines()) == 1
