"""Under which OS account PostgreSQL runs: it refuses root, so root lends it an account of its own.

That account must reach the binaries and its data. Where a closed directory (a virtual environment below /root) is in
the way, nothing is opened up: binaries are copied and data is placed below /var/tmp, and a link shows where.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from heliograph_kit.embedded.processes import ServerFailed

_NAMES = ("heliograph", "postgres", "nobody")
_ELSEWHERE = Path("/var/tmp")  # noqa: S108 - unlike /tmp it survives a restart; names below are ours and checked


@dataclass(frozen=True)
class Account:
    """Binaries and the user (None: ourselves) that runs them."""

    binaries: Path
    user: pwd.struct_passwd | None

    def run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one of the binaries to its end."""
        # Not through pipes: the server inherits them from pg_ctl, and reading them to the end would wait for ever.
        with tempfile.TemporaryFile("w+") as out:
            done = subprocess.run(
                [str(self.binaries / program), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                cwd="/",
                # A session of its own: Ctrl-C in a terminal must not stop the server before its clients.
                start_new_session=True,
                env=self._environment(),
                check=False,
                user=self.user.pw_uid if self.user else None,
                group=self.user.pw_gid if self.user else None,
                extra_groups=[] if self.user else None,
            )
            out.seek(0)
            return subprocess.CompletedProcess(done.args, done.returncode, out.read(), "")

    def own(self, path: Path) -> None:
        """Give a file or directory to the account."""
        if self.user is not None:
            os.chown(path, self.user.pw_uid, self.user.pw_gid)

    def reaches(self, path: Path) -> bool:
        """Tell whether the account may enter or run this."""
        test = subprocess.run(
            ["/bin/sh", "-c", 'test -x "$1"', "sh", str(path)],
            cwd="/",
            check=False,
            user=self.user.pw_uid if self.user else None,
            group=self.user.pw_gid if self.user else None,
            extra_groups=[] if self.user else None,
        )
        return test.returncode == 0

    def _environment(self) -> dict[str, str]:
        # PGPORT and friends of the person at the keyboard must not steer this server.
        return {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH", "TZ") if name in os.environ} | {
            "LC_ALL": "C"
        }


def server_account(binaries: Path, directory: Path) -> Account:
    """Return what to run the server with, and make `directory/server` a place it can use.

    Raises:
        ServerFailed: we are root and there is no account to lend.
    """
    account = Account(binaries, _unprivileged_user() if os.geteuid() == 0 else None)
    place = directory / "server"
    if account.user is None:
        place.mkdir(mode=0o700, exist_ok=True)
        return account
    if not account.reaches(binaries / "postgres"):
        account = Account(_copied(binaries), account.user)
    if not place.exists():
        if account.reaches(directory):
            place.mkdir(mode=0o700)
        else:
            # Never found again by another directory of the same path: its password would be another one.
            place.symlink_to(tempfile.mkdtemp(prefix="heliograph-postgres-", dir=_ELSEWHERE))
        account.own(place.resolve())
    return account


def _unprivileged_user() -> pwd.struct_passwd:
    if not _known(_NAMES[0]) and (useradd := shutil.which("useradd")):
        subprocess.run(
            [useradd, "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", _NAMES[0]],
            check=False,
            capture_output=True,
        )
    for name in _NAMES:
        if user := _known(name):
            return user
    raise ServerFailed("PostgreSQL refuses to run as root and there is no other account: create a user heliograph")


def _known(name: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None


def _copied(binaries: Path) -> Path:
    """Copy the installation to where everybody may read it; once per place it comes from."""
    installation = binaries.parent
    package = installation.parent
    stamp = f"{installation}{(binaries / 'postgres').stat().st_mtime_ns}"
    target = _ELSEWHERE / f"heliograph-pginstall-{hashlib.blake2b(stamp.encode(), digest_size=8).hexdigest()}"
    # The programs look for their libraries by a relative path out of the package (auditwheel), so the levels stay.
    copy = Path(package.name) / installation.name / binaries.name
    if target.exists() and not target.is_symlink() and target.stat().st_uid == os.geteuid():
        return target / copy
    draft = Path(tempfile.mkdtemp(prefix="heliograph-pginstall-", dir=_ELSEWHERE))
    shutil.copytree(installation, (draft / copy).parent, symlinks=True)
    for libraries in package.parent.glob(f"{package.name}.libs"):
        shutil.copytree(libraries, draft / libraries.name, symlinks=True)
    for path in (draft, *draft.rglob("*")):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | (0o055 if path.is_dir() or os.access(path, os.X_OK) else 0o044))
    if target.exists():
        # Somebody else's: ours keeps the name nobody could guess.
        target = draft
    else:
        draft.replace(target)
    return target / copy
