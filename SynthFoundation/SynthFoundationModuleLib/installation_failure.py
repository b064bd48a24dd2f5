"""Why an installation failed, as far as it can be seen: of pip's end, Slicer tells no more than its code."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import sysconfig
import tempfile
import urllib.parse
import urllib.request

from slicer.i18n import tr as _

from .library import python_executable

_PATIENCE = 3.0  # seconds for a server to take a connection
_PORTS = {"https": 443, "http": 80}
_PIPS_OWN = "https://pypi.org/simple"


def failure(what: str, error: Exception, needed_gb: float) -> str:
    """A sentence on what could not be installed and why, with what to do.

    Args:
        what: names of packages.
        error: what the installation ended with.
        needed_gb: what has to be free for it on the disk.
    """
    reason = _told(error) or _no_room(needed_gb) or _no_server() or _("the Python console says more")
    return _("{what} could not be installed; {reason}.").format(what=what, reason=reason)


def _told(error: Exception) -> str | None:
    if isinstance(error, subprocess.CalledProcessError):
        return None  # it holds the command, whatever words occur in that
    told = str(error).lower()
    if any(word in told for word in ("no space", "errno 28", "disk full")):
        return _("the disk is full: make room and try again")
    if any(word in told for word in ("connection", "resolve", "timed out", "ssl", "proxy", "network")):
        return _("the server cannot be reached: check the connection to the internet or the proxy")
    if any(word in told for word in ("permission", "errno 13", "access is denied")):
        return _("Slicer's folder cannot be written to: install Slicer for this user, or ask for rights")
    return None


def _no_room(needed_gb: float) -> str | None:
    """Packages are unpacked in the temporary folder and end in Slicer's."""
    for folder in (sysconfig.get_path("purelib"), tempfile.gettempdir()):
        free = shutil.disk_usage(folder).free / 1e9
        if free < needed_gb:
            return _(
                "only {free:.1f} GB are free in {folder}, and {needed:.1f} GB may be needed: "
                "make room and try again"
            ).format(free=free, folder=folder, needed=needed_gb)
    return None


def _no_server() -> str | None:
    """Whether the server that pip asks takes no connection; behind a proxy that cannot be seen from here."""
    if urllib.request.getproxies():
        return None
    index = urllib.parse.urlsplit(_index())
    if index.scheme not in _PORTS:
        return None
    try:
        address = index.hostname, index.port or _PORTS[index.scheme]
        socket.create_connection(address, _PATIENCE).close()
    except OSError:
        return _("{server} does not answer: check the connection to the internet").format(
            server=index.hostname
        )
    return None


def _index() -> str:
    """Where pip looks for packages."""
    listed = subprocess.run(
        [python_executable(), "-m", "pip", "config", "list"],
        capture_output=True,
        text=True,
        check=False,
        creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
    )
    found = re.search(r"\.index-url='([^']+)'", listed.stdout)
    return found[1] if found else _PIPS_OWN
