"""Object stores that speak S3, as paths and as a file system of fsspec."""

from typing import Any, Literal

import obstore
from obstore.exceptions import AlreadyExistsError
from obstore.fsspec import FsspecStore
from upath.implementations.cloud import S3Path


class ObjectStore(FsspecStore):
    """The file system of obstore, which also knows to put an object only where there is none."""

    protocol = "s3"

    async def _pipe_file(
        self,
        path: str,
        value: bytes,
        mode: Literal["create", "overwrite"] = "overwrite",
        **_: Any,
    ) -> None:
        bucket, key = self._split_path(path)
        try:
            await obstore.put_async(self._construct_store(bucket), key, value, mode=mode)
        except AlreadyExistsError as error:
            raise FileExistsError(path) from error
        self.invalidate_cache()


class ObjectPath(S3Path):
    """A path in such a store; what others make of s3:// in the same process is left alone."""

    _protocol_dispatch = False

    @property
    def fs(self) -> ObjectStore:
        """The store."""
        return ObjectStore()
