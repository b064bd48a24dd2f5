import numpy as np
import pytest
import slicer


@pytest.fixture
def volume(host):
    return slicer.util.addVolumeFromArray(np.arange(24.0).reshape(2, 3, 4), name="scan")


def test_volumes_are_written_and_read(host, volume, tmp_path):
    assert slicer.util.exportNode(volume, str(tmp_path / "scan.nrrd"), {})
    loaded = slicer.util.loadVolume(str(tmp_path / "scan.nrrd"))
    assert np.array_equal(slicer.util.arrayFromVolume(loaded), np.arange(24.0).reshape(2, 3, 4))


def test_views_show_volumes_that_were_loaded(host, tmp_path):
    views = host.show_views()
    ramp = slicer.util.addVolumeFromArray(np.mgrid[:20, :20, :20][2].astype(np.int16))
    assert slicer.util.exportNode(ramp, str(tmp_path / "ramp.nrrd"), {})
    loaded = slicer.util.loadVolume(str(tmp_path / "ramp.nrrd"))
    slicer.util.setSliceViewerLayers(background=loaded, fit=True)
    picture = views.sliceWidget("Red").picture()
    assert (picture == picture[:, :, :1]).all()  # grey
    row = picture[len(picture) // 2, :, 0].astype(int)
    assert {0, 255} <= set(row)
    assert (np.diff(row[row > 0]) <= 0).all() or (np.diff(row[row > 0]) >= 0).all()


def test_segments_are_written_and_read_as_labels(host, volume):
    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    segmentation.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    name = segmentation.GetSegmentation().AddEmptySegment("liver")
    labels = np.zeros((2, 3, 4), np.uint8)
    labels[1, 1:, 2] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(labels, segmentation, name, volume)
    assert np.array_equal(slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, name, volume), labels)


def test_slice_views_show_a_blend(host):
    views = host.show_views()
    dark = slicer.util.addVolumeFromArray(np.zeros((20, 20, 20)), name="dark")
    bright = slicer.util.addVolumeFromArray(np.full((20, 20, 20), 100.0), name="bright")
    for node in (dark, bright):
        node.GetDisplayNode().AutoWindowLevelOff()
        node.GetDisplayNode().SetWindowLevelMinMax(0, 100)
    slicer.util.setSliceViewerLayers(background=dark, foreground=bright, foregroundOpacity=0.5, fit=True)
    rows, columns, _ = views.sliceWidget("Red").picture().shape
    middle = views.sliceWidget("Red").picture()[rows // 2, columns // 2]
    assert middle == pytest.approx([127, 127, 127], abs=2)


def test_views_are_saved_side_by_side(host, volume, tmp_path):
    import qt

    views = host.show_views()
    slicer.util.setSliceViewerLayers(background=volume, fit=True)
    views.save_picture(tmp_path / "views.png")
    assert qt.QImage(str(tmp_path / "views.png")).width() == 3 * 320 + 2 * 4


def test_without_views_there_is_no_layout_manager_and_no_main_window(host):
    assert slicer.app.layoutManager() is None
    assert slicer.util.mainWindow() is None
    host.show_main_window()
    assert slicer.util.mainWindow() is host.main_window


def test_items_of_volumes_are_in_the_subject_hierarchy(host, volume):
    tree = slicer.mrmlScene.GetSubjectHierarchyNode()
    assert tree.GetItemByDataNode(volume) != tree.GetInvalidItemID()


def test_nodes_leave_selectors_with_the_scene(host, volume):
    selector = slicer.qMRMLNodeComboBox()
    selector.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    selector.setMRMLScene(slicer.mrmlScene)
    assert selector.currentNode() is volume
    seen = []
    selector.connect("currentNodeChanged(vtkMRMLNode*)", seen.append)
    slicer.mrmlScene.RemoveNode(volume)
    assert seen == [None]
    selector.setMRMLScene(None)


def test_sample_data_are_registered_and_checked(host, volume, tmp_path):
    import hashlib

    import SampleData

    path = tmp_path / "source.nrrd"
    slicer.util.exportNode(volume, str(path), {})
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    for name, checksum in (("good", digest), ("bad", "0" * 64)):
        SampleData.SampleDataLogic.registerCustomSampleDataSource(
            category="Tests",
            sampleName=name,
            uris=path.as_uri(),
            fileNames="copy.nrrd",
            nodeNames="copy",
            checksums=f"SHA256:{checksum}",
        )
    assert SampleData.downloadSample("good").GetName() == "copy"
    assert SampleData.downloadSamples("bad") == []
    with pytest.raises(TypeError):
        SampleData.SampleDataLogic.registerCustomSampleDataSource(sampleName="without an address")
    with pytest.raises(ValueError, match="same length"):
        SampleData.SampleDataSource(uris=["a", "b"], fileNames=["a"])
