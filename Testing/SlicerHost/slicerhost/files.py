"""Reading and writing nodes and scenes: as much of Slicer's IO managers as `slicer.util` asks for."""

from pathlib import Path

import slicer

_READERS = {
    "VolumeFile": "vtkMRMLScalarVolumeNode",
    "SegmentationFile": "vtkMRMLSegmentationNode",
    "TransformFile": "vtkMRMLTransformNode",
    "MarkupsFile": "vtkMRMLMarkupsFiducialNode",
    "ModelFile": "vtkMRMLModelNode",
}
_KINDS = [
    ((".seg.nrrd", ".seg.nhdr"), "SegmentationFile"),
    ((".mrk.json", ".fcsv"), "MarkupsFile"),
    ((".h5", ".tfm", ".mat"), "TransformFile"),
    ((".mrml", ".mrb"), "SceneFile"),
    ((".vtk", ".vtp", ".stl", ".ply", ".obj"), "ModelFile"),
]
_EXTENSIONS = (".seg.nrrd", ".nii.gz", ".mrk.json", ".nrrd", ".nii", ".mha", ".mhd", ".h5", ".tfm", ".mrb")


class IOManager:
    """`slicer.app.coreIOManager()` and `slicer.app.ioManager()`; storage nodes do the work."""

    def __init__(self, logics: dict) -> None:
        self._logics = logics

    def fileType(self, path: str) -> str:
        return next((kind for ends, kind in _KINDS if str(path).lower().endswith(ends)), "VolumeFile")

    def fileWriterFileType(self, node: object, extension: str = "") -> str:
        classes = {
            "vtkMRMLSegmentationNode": "SegmentationFile",
            "vtkMRMLVolumeNode": "VolumeFile",
            "vtkMRMLTransformNode": "TransformFile",
            "vtkMRMLMarkupsNode": "MarkupsFile",
        }
        return next((kind for name, kind in classes.items() if node.IsA(name)), "ModelFile")

    def extractKnownExtension(self, path: str, node: object = None) -> str:
        return next((end for end in _EXTENSIONS if path.lower().endswith(end)), Path(path).suffix)

    def loadNodes(self, kind: str, properties: dict, nodes: object, messages: object = None) -> bool:
        path = str(properties["fileName"])
        if kind == "SceneFile":
            return self._read_scene(path, bool(properties.get("clear")))
        name = properties.get("name") or Path(path).name.split(".")[0]
        if kind == "VolumeFile":
            node = self._logics["Volumes"].AddArchetypeVolume(
                path, name, int(bool(properties.get("labelmap")))
            )
        else:
            node = self._read_node(_READERS[kind], path, name)
        if node is None:
            return False
        nodes.AddItem(node)
        return True

    def _read_node(self, node_class: str, path: str, name: str) -> object | None:
        node = slicer.mrmlScene.AddNewNodeByClass(node_class, name)
        node.AddDefaultStorageNode(path)
        if not node.GetStorageNode().ReadData(node):
            slicer.mrmlScene.RemoveNode(node)
            return None
        if hasattr(node, "CreateDefaultDisplayNodes"):
            node.CreateDefaultDisplayNodes()
        return node

    def _read_scene(self, path: str, clear: bool) -> bool:
        if path.endswith(".mrb"):
            return bool(slicer.mrmlScene.ReadFromMRB(path, clear))
        slicer.mrmlScene.SetURL(path)
        return bool(slicer.mrmlScene.Connect() if clear else slicer.mrmlScene.Import())

    def saveNodes(self, kind: str, properties: dict, messages: object = None) -> bool:
        path = str(properties["fileName"])
        if kind == "SceneFile":
            if path.endswith(".mrb"):
                return bool(slicer.mrmlScene.WriteToMRB(path))
            if not path.endswith(".mrml"):
                return bool(slicer.mrmlScene.SaveSceneToSlicerDataBundleDirectory(path))
            slicer.mrmlScene.SetURL(path)
            return bool(slicer.mrmlScene.Commit())
        node = slicer.mrmlScene.GetNodeByID(properties["nodeID"])
        if not node.GetStorageNode():
            node.AddDefaultStorageNode(path)
        node.GetStorageNode().SetFileName(path)
        node.GetStorageNode().SetUseCompression(int(bool(properties.get("useCompression", True))))
        return bool(node.GetStorageNode().WriteData(node))

    def saveScene(self, path: str, screenshot: object = None, messages: object = None) -> bool:
        return self.saveNodes("SceneFile", {"fileName": path})

    def fileWriterExtensions(self, node: object) -> list[str]:
        """The formats that nodes are written in, as Slicer lists them."""
        return [f"File (*{extension})" for extension in _EXTENSIONS]

    def exportNodes(
        self,
        ids: list[str],
        paths: list[str],
        properties: dict | None = None,
        world: bool = False,
        messages: object = None,
    ) -> bool:
        """Write without a trace in the scene; `world` applies the parent transforms first."""
        nodes = [slicer.mrmlScene.GetNodeByID(node_id) for node_id in ids]
        return all(_export(node, path, world) for node, path in zip(nodes, paths, strict=True))


def _storage(node: object) -> object:
    storage = node.CreateDefaultStorageNode()
    storage.UnRegister(None)
    return storage


def _export(node: object, path: str, world: bool) -> bool:
    written = node
    if world and node.GetParentTransformNode():
        written = slicer.mrmlScene.AddNewNodeByClass(node.GetClassName())
        written.Copy(node)
        written.HardenTransform()
    storage = _storage(written)
    storage.SetFileName(path)
    try:
        return bool(storage.WriteData(written))
    finally:
        if written is not node:
            slicer.mrmlScene.RemoveNode(written)
