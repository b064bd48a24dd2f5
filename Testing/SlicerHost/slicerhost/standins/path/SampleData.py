"""Registration of sample data, and their download from files on this machine."""

import hashlib
import shutil
import urllib.parse
from pathlib import Path

import slicer


class SampleDataSource:
    def __init__(self, **facts: object) -> None:
        self.__dict__.update(facts)


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
        loadFileType: str | None = None,
        loadFiles: object = None,
        loadFileProperties: dict | None = None,
        checksums: str | list[str] | None = None,
        sampleDescription: str | None = None,
    ) -> None:
        facts = dict(locals())
        for name in ("uris", "fileNames", "nodeNames", "checksums"):
            facts[name] = [facts[name]] if isinstance(facts[name], str) else list(facts[name] or [])
        SampleDataLogic.sources().setdefault(category, []).append(SampleDataSource(**facts))

    @staticmethod
    def registerCustomSampleDataCategory(category: str, title: str | None = None) -> None:
        SampleDataLogic.sources().setdefault(category, [])

    @staticmethod
    def sources() -> dict[str, list[SampleDataSource]]:
        if not hasattr(slicer.modules, "sampleDataSources"):
            slicer.modules.sampleDataSources = {}
        return slicer.modules.sampleDataSources

    def sourceForSampleName(self, name: str) -> SampleDataSource | None:
        return next(
            (s for category in self.sources().values() for s in category if s.sampleName == name), None
        )

    def downloadSamples(self, name: str) -> list:
        source = self.sourceForSampleName(name)
        if source.customDownloader:
            return source.customDownloader(source)
        return [
            self._load(*item)
            for item in zip(source.uris, source.fileNames, source.nodeNames, source.checksums, strict=True)
        ]

    def downloadSample(self, name: str) -> object:
        return self.downloadSamples(name)[0]

    def _load(self, uri: str, file_name: str, node_name: str, checksum: str) -> object:
        parts = urllib.parse.urlparse(uri)
        if parts.scheme != "file":
            raise RuntimeError(f"a test does not reach the network: {uri}")
        path = Path(slicer.app.temporaryPath) / file_name
        shutil.copyfile(urllib.parse.unquote(parts.path), path)
        kind, expected = checksum.split(":")
        if hashlib.new(kind.lower(), path.read_bytes()).hexdigest() != expected.lower():
            raise RuntimeError(f"the checksum of {file_name} is not {checksum}")
        return slicer.util.loadVolume(str(path), {"name": node_name})


def downloadSamples(name: str) -> list:
    return SampleDataLogic().downloadSamples(name)


def downloadSample(name: str) -> object:
    return SampleDataLogic().downloadSample(name)
