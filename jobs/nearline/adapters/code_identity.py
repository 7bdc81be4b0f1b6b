"""Which code made a model: the digest of the package's own files, with or without git."""

from __future__ import annotations

import hashlib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import nearline


def code_identity() -> dict[str, str]:
    """Version of the package, and the SHA-256 of its Python files in the order of their names, in hex.

    The version is "not installed" where jobs run from a checkout; the digest is the same.
    """
    folder = Path(nearline.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(f"{path.relative_to(folder)}\n".encode() + path.read_bytes())
    try:
        number = version("nearline")
    except PackageNotFoundError:
        number = "not installed"
    return {"version": number, "digest": digest.hexdigest()}
