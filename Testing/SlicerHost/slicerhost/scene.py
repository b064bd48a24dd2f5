"""The scene and the logics of Slicer's core and loadable modules, as the application sets them up."""

import tempfile
from pathlib import Path

import slicer
import vtk

from slicerhost import terminologies

LOGICS = {
    "Data": "vtkSlicerDataModuleLogic",
    "Volumes": "vtkSlicerVolumesLogic",
    "Segmentations": "vtkSlicerSegmentationsModuleLogic",
    "SubjectHierarchy": "vtkSlicerSubjectHierarchyModuleLogic",
    "Markups": "vtkSlicerMarkupsLogic",
    "Transforms": "vtkSlicerTransformLogic",
    "CropVolume": "vtkSlicerCropVolumeLogic",
    "Models": "vtkSlicerModelsLogic",
    "Sequences": "vtkSlicerSequencesLogic",
    "VolumeRendering": "vtkSlicerVolumeRenderingLogic",
    "Plots": "vtkSlicerPlotsLogic",
    "Tables": "vtkSlicerTablesLogic",
}
IN_SUBJECT_HIERARCHY = (
    "vtkMRMLVolumeNode",
    "vtkMRMLSegmentationNode",
    "vtkMRMLMarkupsNode",
    "vtkMRMLTransformNode",
    "vtkMRMLModelNode",
    "vtkMRMLTableNode",
)


class Scene:
    """Owns `slicer.mrmlScene`, the application logic, the module logics; `close` takes them down in order."""

    def __init__(self) -> None:
        self._cache = tempfile.TemporaryDirectory(prefix="slicerhost-cache-", ignore_cleanup_errors=True)
        self.node = slicer.vtkMRMLScene()
        slicer.mrmlScene = self.node
        self._add_data_manager()
        self.logic = slicer.vtkSlicerApplicationLogic()
        self.logic.SetMRMLScene(self.node)
        self.logic.GetColorLogic().SetMRMLScene(self.node)
        self.logic.GetColorLogic().AddDefaultColorNodes()
        self.logic.SetModuleLogic("Colors", self.logic.GetColorLogic())  # asked when a volume is loaded
        self.logic.SetSliceLogics(vtk.vtkCollection())
        self.logic.SetViewLogics(vtk.vtkCollection())
        self._factories = [
            slicer.vtkMRMLThreeDViewDisplayableManagerFactory.GetInstance(),
            slicer.vtkMRMLSliceViewDisplayableManagerFactory.GetInstance(),
        ]
        for factory in self._factories:
            factory.SetMRMLApplicationLogic(self.logic)
        made = {name: getattr(slicer, kind)() for name, kind in LOGICS.items()}
        made["Terminologies"] = terminologies.make_logic(Path(self._cache.name))
        self.logics = {name: self._add_logic(name, made[name]) for name in made}
        self.fill()
        self.node.AddObserver(self.node.EndCloseEvent, lambda *_: self.fill())
        for event in (self.node.NodeAddedEvent, self.node.EndBatchProcessEvent):
            self.node.AddObserver(event, self._add_items)
        self.node.AddObserver(self.node.NodeAboutToBeRemovedEvent, self._remove_item)

    def _add_data_manager(self) -> None:
        """Without a cache folder the scene cannot read scene bundles (.mrb)."""
        cache = slicer.vtkCacheManager()
        cache.SetMRMLScene(self.node)
        cache.SetRemoteCacheDirectory(self._cache.name)
        manager = slicer.vtkDataIOManager()
        manager.SetCacheManager(cache)
        self.node.SetCacheManager(cache)
        self.node.SetDataIOManager(manager)
        self._keep = (cache, manager)

    def _add_logic(self, name: str, logic: vtk.vtkObject) -> vtk.vtkObject:
        logic.SetMRMLScene(self.node)
        logic.SetMRMLApplicationLogic(self.logic)
        self.logic.SetModuleLogic(name, logic)
        return logic

    def fill(self) -> None:
        """The nodes that a new scene and a closed scene have in the application."""
        if not self.node.GetFirstNodeByClass("vtkMRMLCrosshairNode"):
            crosshair = slicer.vtkMRMLCrosshairNode()
            crosshair.SetCrosshairName("default")
            self.node.AddNode(crosshair)
        slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(self.node, True)
        self.node.GetSubjectHierarchyNode()

    def empty(self) -> None:
        """As after the application's start: what closing a scene keeps for views and modules goes, too."""
        self.node.Clear(0)
        for kind in ("vtkMRMLScriptedModuleNode", "vtkMRMLSegmentEditorNode", "vtkMRMLSliceNode"):
            for node in slicer.util.getNodesByClass(kind):
                self.node.RemoveNode(node)
        for node in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode"):
            self.node.RemoveNode(node)

    def _add_items(self, *_: object) -> None:
        """Slicer's plugins put these nodes into the subject hierarchy as soon as the scene has them."""
        if self.node.IsBatchProcessing():
            return
        tree = self.node.GetSubjectHierarchyNode()
        for kind in IN_SUBJECT_HIERARCHY:
            for node in slicer.util.getNodesByClass(kind):
                if not node.GetHideFromEditors() and not tree.GetItemByDataNode(node):
                    tree.CreateItem(tree.GetSceneItemID(), node)

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _remove_item(self, scene: object, event: str, node: object) -> None:
        tree = None if node.IsA("vtkMRMLSubjectHierarchyNode") else scene.GetSubjectHierarchyNode()
        if tree is not None and tree.GetItemByDataNode(node):
            tree.RemoveItem(tree.GetItemByDataNode(node), False, False)

    def close(self) -> None:
        """Clear the scene and part the logics from it; in another order the interpreter's end is a crash."""
        self.node.RemoveAllObservers()
        self.node.Clear(1)
        for logic in self.logics.values():
            logic.SetMRMLApplicationLogic(None)
            logic.SetMRMLScene(None)
        for factory in self._factories:
            factory.SetMRMLApplicationLogic(None)
        self.logic.SetMRMLScene(None)
        self._cache.cleanup()
