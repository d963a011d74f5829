"""Errors of reading and writing objects, and predicates that classify them."""

from __future__ import annotations

import errno

from tasks.contract import InputRejected, Misconfigured, Reason


class AlreadyExists(Exception):
    """Another writer created this object first."""


class AccessDenied(Misconfigured):
    """S3 denied access: the credentials are wrong, or have no right to the object."""


def not_found(uri: str) -> InputRejected:
    """Return the error for a missing object."""
    return InputRejected(
        "no such object",
        reason=Reason.NOT_FOUND,
        subject=uri,
        next_step="check the URI and the permissions of the credentials",
    )


def is_permanent_file_error(error: OSError) -> bool:
    """Whether an error concerns this file alone and a retry cannot help: no permission, an impossible name."""
    return error.errno in (errno.EACCES, errno.EPERM, errno.ENAMETOOLONG, errno.ELOOP, errno.EISDIR, errno.EILSEQ)


def is_access_denied(error: BaseException) -> bool:
    """Whether S3 denied access with these credentials."""
    from obstore.exceptions import PermissionDeniedError, UnauthenticatedError

    return isinstance(error, AccessDenied | PermissionDeniedError | UnauthenticatedError)


def is_disk_full(error: BaseException) -> bool:
    """Whether a disk or a quota is full."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
