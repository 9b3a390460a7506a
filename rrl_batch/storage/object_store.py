"""Object stores that speak S3, as paths and as a file system of fsspec."""

from typing import Any, Literal, Self

import obstore
from obstore.exceptions import AlreadyExistsError
from obstore.fsspec import FsspecStore
from upath.implementations.cloud import S3Path

_MODES: dict[str, Literal["create", "overwrite"]] = {"create": "create", "overwrite": "overwrite"}


class ObjectStore(FsspecStore):
    """The file system of obstore, which also knows to put an object only where there is none."""

    protocol = "s3"

    def __init__(self, **options: Any) -> None:
        super().__init__("s3", **options)

    def _open(self, path: str, mode: str = "rb", *arguments: Any, **options: Any) -> Any:
        if mode == "rb":
            self.info(path)  # a file that is not there leaves half an object behind in obstore
        return super()._open(path, mode, *arguments, **options)

    async def _pipe_file(
        self,
        path: str,
        value: bytes,
        mode: str = "overwrite",
        **_: Any,
    ) -> None:
        bucket, key = self._split_path(path)
        try:
            await obstore.put_async(self._construct_store(bucket), key, value, mode=_MODES[mode])
        except AlreadyExistsError as error:
            raise FileExistsError(path) from error
        self.invalidate_cache()


class ObjectPath(S3Path):
    """A path in such a store; what others make of s3:// in the same process is left alone."""

    def __new__(cls, *_: Any, **__: Any) -> Self:
        """Return a path of this class, not of the one that is registered for s3://."""
        return object.__new__(cls)

    @property
    def fs(self) -> ObjectStore:
        """The store."""
        return ObjectStore()
