"""Fixtures of the tests of the archive."""

from collections.abc import Callable
from pathlib import Path

import pytest
from gaia_archive import StandIn, impatient, sample

from rrl_batch.sources.archive.call import Archive
from rrl_batch.sources.archive.release import Release


@pytest.fixture
def small() -> Callable[..., StandIn]:
    """Makes an archive of a few stars."""

    def make(n: int = 60, **options: object) -> StandIn:
        return StandIn(*sample(n, seed=5), **options)

    return make


@pytest.fixture
def release_of(tmp_path: Path) -> Callable[..., Release]:
    """Gives the release that an archive has, with waits that suit a test."""

    def make(archive: StandIn, **access: float) -> Release:
        return Release.read(str(impatient(tmp_path / "release.toml", **access)), archive.url)

    return make


@pytest.fixture
def archive_of(release_of: Callable[..., Release]) -> Callable[..., Archive]:
    """Gives an archive as an anonymous user sees it."""

    def make(archive: StandIn, **access: float) -> Archive:
        return Archive(release_of(archive, **access), None)

    return make
