"""Become an ordinary user for a program that refuses to run as root (PostgreSQL does).

The user keeps one capability, CAP_DAC_OVERRIDE: it may enter directories that only root may (a clone under ``/root``),
so that no directory's permissions have to be changed for it.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import struct
from typing import Final

from roost.contracts.errors import SettingsInvalid

USER: Final = "nobody"

# From linux/capability.h and linux/prctl.h.
_CAP_DAC_OVERRIDE: Final = 1
_CAPABILITY_VERSION_3: Final = 0x20080522
_PR_SET_KEEPCAPS: Final = 8
_PR_CAP_AMBIENT: Final = 47
_PR_CAP_AMBIENT_RAISE: Final = 2


def user_id() -> int:
    """The numeric id of the user that stands in for root.

    Raises:
        SettingsInvalid: there is none.
    """
    try:
        return pwd.getpwnam(USER).pw_uid
    except KeyError:
        raise SettingsInvalid(
            f"PostgreSQL does not run as root and there is no user {USER} to run it: start as an ordinary user, "
            "or set ROOST_DATABASE__URL and ROOST_AIRFLOW__URL to others"
        ) from None


def become() -> None:
    """Leave root for good; children and programs that are executed inherit the user and its one capability.

    Raises:
        SettingsInvalid: this container does not let root do so.
    """
    entry = pwd.getpwuid(user_id())
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        _checked(libc.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0))
        os.setgroups([])
        os.setgid(entry.pw_gid)
        os.setuid(entry.pw_uid)
        bit = 1 << _CAP_DAC_OVERRIDE
        header = struct.pack("Ii", _CAPABILITY_VERSION_3, 0)
        _checked(libc.capset(header, struct.pack("6I", bit, bit, bit, 0, 0, 0)))
        _checked(libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _CAP_DAC_OVERRIDE, 0, 0))
    except OSError as error:
        raise SettingsInvalid(
            f"PostgreSQL does not run as root, and becoming {USER} failed ({error}): start as an ordinary user"
        ) from error
    os.environ |= {"HOME": "/nonexistent", "USER": USER, "LOGNAME": USER}


def _checked(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
