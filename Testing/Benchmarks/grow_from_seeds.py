"""*Grow from seeds* of 3D Slicer, to compare with: vtkImageGrowCutSegment of the package slicer-core."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from SynthFoundationLib.images import as_image


def grow_from_seeds(image: Path, seeds: np.ndarray, background: int | None) -> np.ndarray:
    """Labels (D, H, W) grown from seeds (D, H, W), 0 = not labelled; what is `background` becomes 0."""
    import slicer
    import vtk
    from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

    def vtk_image(array: np.ndarray, kind: int) -> vtk.vtkImageData:
        result = vtk.vtkImageData()
        result.SetDimensions(array.shape[::-1])
        result.GetPointData().SetScalars(numpy_to_vtk(array.ravel(), deep=True, array_type=kind))
        return result

    grow = slicer.vtkImageGrowCutSegment()
    grow.SetIntensityVolume(vtk_image(as_image(image).data[0].numpy(), vtk.VTK_FLOAT))
    grow.SetSeedLabelVolume(vtk_image(np.ascontiguousarray(seeds, np.int16), vtk.VTK_SHORT))
    grow.Update()
    labels = vtk_to_numpy(grow.GetOutput().GetPointData().GetScalars()).reshape(seeds.shape).copy()
    labels[labels == background] = 0
    return labels
