"""Where the bytes of images are kept, behind a small protocol: files for now.

Every method blocks and is called in threads. An *object* has a name that is used once: an upload writes a new
one, which is seen only when it is whole and on the disk, and deleting an image deletes it after the commit.
So a crash leaves at most an object that no image names, and the sweep at start removes it.
"""

from pileus.services.image.store.files import FileStore
from pileus.services.image.store.protocol import DataMissing, DataStore, Sink, Source, StorageFull

__all__ = ["DataMissing", "DataStore", "FileStore", "Sink", "Source", "StorageFull"]
