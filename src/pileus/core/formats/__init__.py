"""The format of a file, read from its content by code of ours before anything else touches it.

``inspect`` asks every reader, because a file may be made to look like two formats at once, and a program that
guesses would then see another disk than the one that was checked. Readers only look at headers, through a
:class:`~pileus.core.formats.reading.Reader` that never gives more than is there, and raise
:class:`BadImage` for what must not be used: a reference to another file, a feature that nobody knows, a
header that can't be. Nothing else comes out of them, whatever the bytes (the property tests see to that).
"""

from pileus.core.formats.finding import Finding, inspect
from pileus.core.formats.judge import FORMATS, ImageDataRefused, judge
from pileus.core.formats.reading import BadImage, Reader

__all__ = ["FORMATS", "BadImage", "Finding", "ImageDataRefused", "Reader", "inspect", "judge"]
