"""Registration of sample data, and their download from files on this machine."""

import hashlib
import logging
import shutil
import urllib.parse
from pathlib import Path

import slicer


class SampleDataSource:
    """As in Slicer, addresses are demanded, and as many of everything else as there are of them."""

    def __init__(
        self,
        sampleName: str | None = None,
        sampleDescription: str | None = None,
        uris: str | list[str] | None = None,
        fileNames: str | list[str] | None = None,
        nodeNames: str | list[str] | None = None,
        checksums: str | list[str] | None = None,
        loadFiles: object = None,
        customDownloader: object = None,
        thumbnailFileName: str | None = None,
        loadFileTypes: str | list[str] | None = None,
        loadFileProperties: dict | None = None,
    ) -> None:
        self.sampleName, self.sampleDescription = sampleName, sampleDescription or sampleName
        self.customDownloader, self.thumbnailFileName = customDownloader, thumbnailFileName
        self.loadFileProperties = loadFileProperties or {}
        lists = {
            "uris": uris,
            "fileNames": fileNames,
            "nodeNames": nodeNames,
            "loadFiles": loadFiles,
            "loadFileTypes": loadFileTypes,
            "checksums": checksums,
        }
        if isinstance(uris, str):
            lists = {name: [one] for name, one in lists.items()}
        elif uris is not None:
            lists = {name: [None] * len(uris) if one is None else one for name, one in lists.items()}
        if len({len(one) for one in lists.values()}) > 1:
            raise ValueError(f"All fields of sample data source must have the same length: {lists}")
        self.__dict__.update(lists)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SampleDataSource) and vars(self) == vars(other)


class SampleDataLogic:
    def __init__(self, logMessage: object = None) -> None:
        self.logMessage = logMessage

    @staticmethod
    def registerCustomSampleDataSource(
        category: str = "Custom",
        sampleName: str | None = None,
        uris: str | list[str] | None = None,
        fileNames: str | list[str] | None = None,
        nodeNames: str | list[str] | None = None,
        customDownloader: object = None,
        thumbnailFileName: str | None = None,
        loadFileTypes: str | list[str] | None = None,
        loadFiles: object = None,
        loadFileProperties: dict | None = None,
        checksums: str | list[str] | None = None,
    ) -> None:
        facts = dict(locals())
        known = SampleDataLogic.sources().setdefault(facts.pop("category"), [])
        source = SampleDataSource(**facts)
        if source not in known:
            known.append(source)

    @staticmethod
    def registerCustomSampleDataCategory(category: str, title: str) -> None:
        if not hasattr(slicer.modules, "sampleDataSourceCategories"):
            slicer.modules.sampleDataSourceCategories = {}
        slicer.modules.sampleDataSourceCategories[category] = {"title": title}

    @staticmethod
    def sources() -> dict[str, list[SampleDataSource]]:
        if not hasattr(slicer.modules, "sampleDataSources"):
            slicer.modules.sampleDataSources = {}
        return slicer.modules.sampleDataSources

    def sourceForSampleName(self, name: str) -> SampleDataSource | None:
        return next(
            (s for category in self.sources().values() for s in category if s.sampleName == name), None
        )

    def downloadFromSource(self, source: SampleDataSource) -> list:
        """Only a button asks a `customDownloader`; what cannot be had is logged and left out."""
        items = zip(source.uris, source.fileNames, source.nodeNames, source.checksums, strict=True)
        return [node for node in (self._load(*item) for item in items) if node is not None]

    def downloadSamples(self, name: str) -> list:
        source = self.sourceForSampleName(name)
        return [] if source is None else self.downloadFromSource(source)

    def downloadSample(self, name: str) -> object:
        return self.downloadSamples(name)[0]

    def _load(self, uri: str, file_name: str, node_name: str, checksum: str) -> object | None:
        parts = urllib.parse.urlparse(uri)
        if parts.scheme != "file":  # and a test does not reach the network
            logging.error("Failed to download %s", uri)
            return None
        path = Path(slicer.app.temporaryPath) / file_name
        shutil.copyfile(urllib.parse.unquote(parts.path), path)
        kind, expected = checksum.split(":")
        if hashlib.new(kind.lower(), path.read_bytes()).hexdigest() != expected.lower():
            logging.error("Checksum verification failed: %s", file_name)
            return None
        return slicer.util.loadVolume(str(path), {"name": node_name})


def downloadSamples(name: str) -> list:
    return SampleDataLogic().downloadSamples(name)


def downloadSample(name: str) -> object:
    return SampleDataLogic().downloadSample(name)
