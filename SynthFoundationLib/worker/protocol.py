"""What client and worker say to each other: one JSON object a line, UTF-8."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from ..errors import InputError

PROTOCOL = 1
LONGEST_LINE = 16 << 20  # bytes
# The only methods that may be called without an id; then nothing is answered.
UNANSWERED = ("cancel", "shutdown")


class BadRequest(InputError):
    """A line that is no request; `id` is that of the request as far as it can be told."""

    def __init__(self, message: str, id: int | None = None) -> None:
        super().__init__(message)
        self.id = id


class Request(NamedTuple):
    """One call of a method; `id` marks every event that answers it."""

    id: int | None
    method: str
    params: dict[str, Any]


def encoded(message: Mapping[str, Any]) -> bytes:
    """A message as a line. Numbers that JSON does not know, NaN and infinities, become null."""
    text = json.dumps(plain(message), allow_nan=False, separators=(",", ":"))
    return text.encode("ascii") + b"\n"


def plain(value: Any) -> Any:
    """The value in the types of JSON."""
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    if hasattr(value, "tolist"):  # numpy
        return plain(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value


def decoded(line: bytes) -> dict[str, Any]:
    """The object in a line.

    Raises:
        BadRequest: the line is too long, or no JSON object.
    """
    if len(line) > LONGEST_LINE:
        raise BadRequest(f"the line has more than {LONGEST_LINE:,} bytes; send arrays as files")
    try:
        message = json.loads(line.decode("utf-8"), parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise BadRequest("the line is no JSON in UTF-8; send one object a line") from error
    if not isinstance(message, dict):
        raise BadRequest(f"the line is a JSON {type(message).__name__}; send an object")
    return message


def read_request(line: bytes) -> Request:
    """The request in a line.

    Raises:
        BadRequest: it is none.
    """
    message = decoded(line)
    id, method, params = message.get("id"), message.get("method"), message.get("params", {})
    if isinstance(id, bool) or not isinstance(id, (int, type(None))):
        raise BadRequest("id must be a whole number")
    if not isinstance(method, str):
        raise BadRequest("method must be a name; README.md lists them", id)
    if not isinstance(params, dict):
        raise BadRequest("params must be an object", id)
    if strange := message.keys() - {"id", "method", "params"}:
        raise BadRequest(f"a request has id, method and params, and no {min(strange)!r:.60}", id)
    if id is None and method not in UNANSWERED:
        raise BadRequest(f"method {method!r:.60} needs an id, to be answered")
    return Request(id, method, params)


def files_in(value: Any) -> Iterator[str]:
    """The names of all array files that a message refers to."""
    if isinstance(value, dict):
        if set(value) == {"file"} and isinstance(value["file"], str):
            yield value["file"]
        else:
            for one in value.values():
                yield from files_in(one)
    elif isinstance(value, list):
        for one in value:
            yield from files_in(one)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")
