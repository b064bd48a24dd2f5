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


def test_pairs_of_an_earlier_run_make_way_and_nothing_else(tmp_path):
    for name in ("0007_labels.nii.gz", "0007_parameters.json", "mine_labels.nii.gz"):
        (tmp_path / name).write_text("earlier")
    assert invoke("synthesize", "-n", 1, "--size", 16, "-o", tmp_path, "--device", "cpu").exit_code == 0
    pair = {f"0000_{what}" for what in ("view1.nii.gz", "view2.nii.gz", "labels.nii.gz", "parameters.json")}
    assert {path.name for path in tmp_path.iterdir()} == {*pair, "sheet.png", "mine_labels.nii.gz"}


def test_pairs_do_not_take_the_place_of_their_templates(tmp_path):
    (tmp_path / "0003_labels.nii.gz").write_text("a template")
    result = invoke("synthesize", "-n", 1, "--size", 16, "-o", tmp_path, "--templates", tmp_path)
    assert result.exit_code == 2
    assert "would overwrite 0003_labels.nii.gz" in result.stderr


def test_a_folder_in_the_way_of_a_pair_is_one_line_and_leaves_nothing_else(tmp_path):
    (tmp_path / "0000_labels.nii.gz").mkdir()
    result = invoke("synthesize", "-n", 1, "--size", 16, "-o", tmp_path, "--device", "cpu")
    assert result.exit_code == 2
    assert result.stderr == "Error: cannot write 0000_labels.nii.gz: it is a folder; give a file name\n"
    assert [path.name for path in tmp_path.iterdir()] == ["0000_labels.nii.gz"]


def test_scans_and_checkpoints_are_not_overwritten(tmp_path):
    for name in ("a.nii", "b.nii", "weights.safetensors"):
        (tmp_path / name).write_text("given")
    result = invoke("evaluate-features", tmp_path / "a.nii", tmp_path / "b.nii", "-o", tmp_path / "b.nii")
    assert "would overwrite b.nii" in result.stderr
    result = invoke("export-weights", tmp_path, "-o", tmp_path / "weights.safetensors")
    assert "would overwrite weights.safetensors" in result.stderr


def test_resuming_where_no_checkpoint_is_says_that_it_starts_anew(tmp_path, monkeypatch):
    monkeypatch.setattr("SynthFoundationLib.pretraining.run._train", lambda *_: {"loss": 1.0})
    config = tmp_path / "c.toml"
    config.write_text("[data]\nside = 32\n")
    result = invoke("pretrain", "-c", config, "-o", tmp_path / "run", "--resume", "--device", "cpu")
    assert result.exit_code == 0, result.output
    assert "No checkpoint in run, starting anew" in result.stderr


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
